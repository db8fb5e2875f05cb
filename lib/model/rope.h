// SPDX-License-Identifier: Apache-2.0
// The angles of a 3-D rotary position embedding over a grid of patches.
#pragma once

#include <cstdint>
#include <vector>

#include "lib/policy/token_order.h"

namespace suffice {

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
