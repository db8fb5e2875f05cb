// SPDX-License-Identifier: Apache-2.0
// Sums over the rows of a matrix, one group of rows at a time. Rows are cut into chunks by the
// shape alone; a CTA sums the chunk's rows for some columns, and the sums of a group's chunks are
// added afterwards, both in a fixed order: the same bits every time.
#pragma once

#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstdint>

#include "kernels/cuda/launch.h"
#include "kernels/cuda/model/values.h"

namespace suffice::cuda {

inline constexpr int kSumLanes = 32;          // of a CTA, along a row
inline constexpr int kSumRows = 8;            // that a CTA reads at a time
inline constexpr int64_t kSumCtas = 1024;     // wanted: one wave of a large GPU
inline constexpr int64_t kSumLeastRows = 32;  // of a chunk

struct RowChunks {
  int64_t groups = 1, rows = 0;          // rows of a group
  int64_t per_group = 0, per_chunk = 1;  // chunks, rows
  RowChunks(int64_t groups_, int64_t all_rows, int64_t columns) : groups(groups_) {
    rows = all_rows / groups;
    if (rows == 0) return;
    // Of the widest pieces, so that a workspace serves either width.
    const int64_t tiles = std::max<int64_t>(1, columns / (kSumLanes * kPiece));
    const int64_t most = (rows + kSumLeastRows - 1) / kSumLeastRows;
    const int64_t wanted = std::clamp<int64_t>(kSumCtas / (tiles * groups), 1, most);
    per_chunk = (rows + wanted - 1) / wanted;
    per_group = (rows + per_chunk - 1) / per_chunk;
  }
  int64_t count() const { return groups * per_group; }
};

// out (G, n): out[g] (+)= the sum over the chunks c of group g of partials[c * stride + column].
void AddPartials(const float* partials, int64_t stride, int64_t groups, int64_t per_group,
                 const View& out, bool accumulate, cudaStream_t stream);

#ifdef __CUDACC__

// Source: what a row adds to its columns' kSums sums. The partial sums lie as (chunk, sum, column).
template <int kWidth, class Source>
__global__ void __launch_bounds__(kSumLanes* kSumRows)
    ColumnSums(Source source, RowChunks chunks, int64_t columns, float* partials) {
  constexpr int kValues = Source::kSums * kWidth;
  __shared__ float shared[kValues][kSumRows][kSumLanes];
  const int64_t tiles = (columns + kSumLanes * kWidth - 1) / (kSumLanes * kWidth);
  const int64_t chunk = blockIdx.x / tiles, tile = blockIdx.x % tiles;
  const int64_t column = (tile * kSumLanes + threadIdx.x) * kWidth, left = columns - column;
  const int64_t group = chunk / chunks.per_group;
  const int64_t begin = group * chunks.rows + chunk % chunks.per_group * chunks.per_chunk;
  const int64_t end = min(begin + chunks.per_chunk, (group + 1) * chunks.rows);
  float sums[Source::kSums][kWidth] = {};
  if (left >= kWidth) {
#pragma unroll 4
    for (int64_t row = begin + threadIdx.y; row < end; row += kSumRows) {
      source.template Add<kWidth>(row, group, column, kWidth, sums);
    }
  } else if (left > 0) {
    for (int64_t row = begin + threadIdx.y; row < end; row += kSumRows) {
      source.template Add<kWidth>(row, group, column, left, sums);
    }
  }
#pragma unroll
  for (int s = 0; s < Source::kSums; ++s) {
#pragma unroll
    for (int d = 0; d < kWidth; ++d) shared[s * kWidth + d][threadIdx.y][threadIdx.x] = sums[s][d];
  }
  __syncthreads();
  for (int v = static_cast<int>(threadIdx.y); v < kValues; v += kSumRows) {
    const int s = v / kWidth, d = v % kWidth;
    if (d >= left) continue;
    float sum = 0.0f;
#pragma unroll
    for (int y = 0; y < kSumRows; ++y) sum += shared[v][y][threadIdx.x];
    partials[(chunk * Source::kSums + s) * columns + column + d] = sum;
  }
}

template <class Source>
int64_t PartialSums(const RowChunks& chunks, int64_t columns) {
  return chunks.count() * Source::kSums * columns;
}

template <class Source>
void LaunchColumnSums(const Source& source, const RowChunks& chunks, int64_t columns, bool wide,
                      float* partials, cudaStream_t stream) {
  if (chunks.count() == 0 || columns == 0) return;
  WithWidth(wide, [&](auto width) {
    constexpr int kWidth = decltype(width)::value;
    const int64_t tiles = (columns + kSumLanes * kWidth - 1) / (kSumLanes * kWidth);
    const dim3 block(kSumLanes, kSumRows);
    ColumnSums<kWidth><<<static_cast<unsigned>(chunks.count() * tiles), block, 0, stream>>>(
        source, chunks, columns, partials);
  });
  CheckLaunch("sums over rows");
}

#endif  // __CUDACC__

}  // namespace suffice::cuda
