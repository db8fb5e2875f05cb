// SPDX-License-Identifier: Apache-2.0
// How the tokens of a video are laid out in blocks: raster order, 3-D tiles with ragged edges, or a
// Hilbert curve.
//
// A grid of (frames, rows, columns) patches in raster order numbers columns fastest. Order "tiles"
// walks boxes of patches in raster order, and each box in raster order inside; boxes at the far
// edges are cut off, so that any grid has its order and no token is padding. Order "hilbert"
// follows the 3-D Hilbert curve of the smallest cube of side 2^n that holds the grid, and leaves
// out what lies outside it (the curve: Skilling, AIP Conf. Proc. 707, 381, 2004). Blocks of
// consecutive tokens are then compact in space and time, which is what block-sparse attention
// wants. Attention is equivariant under the order and rotation comes before it, so an order changes
// which tokens share a block and nothing else.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace suffice {

using Grid = std::array<int64_t, 3>;  // frames, rows, columns

int64_t Tokens(const Grid& grid);

// Three extents as configs and files hold them; throws kUsage unless they are three and positive.
Grid ToGrid(const std::vector<int64_t>& extents);

// order[n] is the raster index of token n. `name` is "raster" or "hilbert", which have no use
// for `tile`, or "tiles"; throws kUsage otherwise.
std::vector<int32_t> TokenOrder(const Grid& grid, const std::string& name, const Grid& tile);

}  // namespace suffice
