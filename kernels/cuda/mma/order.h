// SPDX-License-Identifier: Apache-2.0
// The order in which a grid's CTAs take the tiles of all heads: by the power of two of what their
// lists keep, longest first, and otherwise as they stand. A row that keeps everything then starts
// first instead of finishing last, and rows of like length stay with their head, whose keys lie in
// the second-level cache. The order never shows in the results.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

namespace suffice::cuda::mma {

struct TileGrid {
  int heads = 0;  // over the whole batch
  int lists = 1;  // lists of a head's tile: one a query head
  int blocks = 0;
  int tiles = 0;  // of a head
  int tiles_per_block = 1;
};

// order[0, heads * tiles) = tiles, numbered head by head.
void LongestFirst(const int64_t* ptr, const TileGrid& grid, int* order, cudaStream_t stream);

}  // namespace suffice::cuda::mma
