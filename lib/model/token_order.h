// SPDX-License-Identifier: Apache-2.0
// Where the tokens of a video lie in the sequence, and the angles of their rotary embedding.
//
// A grid of (F, Y, X) patches in raster order numbers x fastest. Order "tiles" walks boxes of
// (f, y, x) patches in raster order, and each box in raster order inside; boxes at the far edges
// are cut off, so that any grid has its order and no token is padding. Blocks of consecutive tokens
// are then compact in space and time, which is what block-sparse attention wants.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace suffice {

using Grid = std::array<int64_t, 3>;  // frames, rows, columns

// order[n] is the raster index of token n. `name` is "raster" or "tiles"; throws kUsage otherwise.
std::vector<int32_t> TokenOrder(const Grid& grid, const std::string& name, const Grid& tile);

// Head dimensions of each axis, even, of sum head_dim: d - 4 floor(d / 6), 2 floor(d / 6) twice, as
// Wan 2.1 splits them.
Grid DefaultRopeSplit(int64_t head_dim);

// cos and sin (N, D / 2) of token n in the given order: pair i of an axis of d dimensions turns by
// position * theta^(-2 i / d) (RoFormer, arXiv 2104.09864, Eq. 15), axes one after the other.
struct RopeTables {
  std::vector<float> cos, sin;
};
RopeTables MakeRopeTables(const Grid& grid, const std::vector<int32_t>& order, const Grid& split,
                          double theta);

}  // namespace suffice
