// SPDX-License-Identifier: Apache-2.0
// How the tokens of a video are laid out in blocks: raster order, or 3-D tiles with ragged edges.
// Attention is equivariant under the order and rotation comes before it, so an order changes which
// tokens share a block and nothing else.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace suffice {

struct TokenGrid {
  int64_t frames = 1, rows = 1, columns = 1;
  int64_t tokens() const { return frames * rows * columns; }
};

// order[n] = raster index of token n. `name` is raster or tiles; tiles are walked in raster order,
// and so are the tokens within one; those at the edges are smaller. `tile`: frames, rows, columns.
std::vector<int32_t> TokenOrder(const std::string& name, const TokenGrid& grid,
                                const std::vector<int64_t>& tile);

}  // namespace suffice
