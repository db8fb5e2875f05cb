// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda_runtime_api.h>

#include "kernels/cuda/select/geometry.h"

namespace suffice::cuda {

// A (B, H, rows, columns) tensor of fp32, columns contiguous, or a part of it. Strides are in
// elements.
struct HeadRows {
  float* data = nullptr;
  int64_t batch = 0, head = 0, row = 0;
  int64_t before = 0;  // elements of the tensor that come before `data`
#ifdef __CUDACC__
  __device__ float* At(int b, int h, int i) const {
    return data + (b * batch + h * head + i * row - before);
  }
#endif
};

// Query blocks of a tile: large ones, and small ones where there would be few. Every form has both.
inline constexpr int kLargeScoreRows = 128, kSmallScoreRows = 64;
// Rows of scores of all heads, numbered (b, h, i), are made a tile of query blocks at a time: of
// how many, where `heads` heads have t_q x t_k blocks each.
int ScoreTileRows(int dim, int64_t heads, int t_q, int t_k);

struct ScoreArgs {
  HeadRows q, k, out;
  int out_columns = 0;  // that may be written: t_k, and more where rows are longer
  SelectGeometry geometry;
  int heads = 1, group = 1;  // of a batch element; query heads of one key head
  int dim = 0;
  int tile_rows = 0;  // ScoreTileRows
  float scale = 1.0f;
};

// out = scale q k^T of the query tiles [first, end), counted over all heads, for the key blocks
// that any row of a tile may look at; entries of blocks that a row may not look at hold anything.
void LaunchScores(const ScoreArgs& args, int first, int end, int multiprocessors,
                  cudaStream_t stream);

}  // namespace suffice::cuda
