// SPDX-License-Identifier: Apache-2.0
// Rows of a table by number, the sum back into the table, and the features of a time.
#include "kernels/cuda/launch.h"
#include "kernels/cuda/model/launch_model.h"
#include "kernels/cuda/model/values.h"

namespace suffice::cuda {
namespace {

template <class T, int kWidth>
__global__ void __launch_bounds__(kModelThreads)
    Embed(Rows table, const int32_t* ids, Rows out, int64_t known, int64_t rows, int64_t columns) {
  ForEachPiece<kWidth>(rows, columns, [&](int64_t row, int64_t column, int64_t left) {
    const int64_t id = ids[row];
    float x[kWidth] = {};
    if (id >= 0 && id < known) Read<kWidth>(At<const T>(table, id, column), left, x);
    Write<kWidth>(At<T>(out, row, column), left, x);
  });
}

// A CTA per row of d_out: the one of a number's first row adds them all, in ascending order. A row
// is looked for 32 numbers at a time, by every warp for itself.
template <class T>
__global__ void __launch_bounds__(kModelThreads)
    EmbedBackward(const int32_t* ids, Rows d_out, float* table, int64_t table_stride, int64_t known,
                  int64_t rows, int64_t columns) {
  const int64_t first = blockIdx.x;
  const int32_t id = ids[first];
  if (id < 0 || id >= known) return;
  bool earlier = false;
  for (int64_t r = threadIdx.x; r < first; r += kModelThreads) earlier |= ids[r] == id;
  if (__syncthreads_or(earlier)) return;
  const int64_t lane = threadIdx.x % 32;
  // A thread's column comes with its warp's: lanes past the end look for rows all the same.
  for (int64_t start = threadIdx.x - lane; start < columns; start += kModelThreads) {
    const int64_t column = start + lane;
    float* to = table + id * table_stride + column;
    float sum = column < columns ? *to : 0.0f;
    for (int64_t r0 = first; r0 < rows; r0 += 32) {
      const bool same = r0 + lane < rows && ids[r0 + lane] == id;
      unsigned found = __ballot_sync(0xFFFFFFFFu, same);
      while (found != 0) {
        const int64_t r = r0 + __ffs(static_cast<int>(found)) - 1;
        found &= found - 1;
        if (column < columns) sum += ToFloat(*At<const T>(d_out, r, column));
      }
    }
    if (column < columns) *to = sum;
  }
}

// In double: angles reach 1000, and are wanted to fp32's precision.
template <class T>
__global__ void __launch_bounds__(kModelThreads)
    TimeFeatures(const float* t, Rows out, int64_t rows, int64_t half) {
  ForEachPiece<1>(rows, half, [&](int64_t row, int64_t i, int64_t) {
    const double w = pow(10000.0, -static_cast<double>(i) / static_cast<double>(half));
    const double angle = 1000.0 * double{t[row]} * w;
    const float c[1] = {static_cast<float>(cos(angle))}, s[1] = {static_cast<float>(sin(angle))};
    Write<1>(At<T>(out, row, i), 1, c);
    Write<1>(At<T>(out, row, half + i), 1, s);
  });
}

}  // namespace

void LaunchEmbed(const EmbedParams& p, cudaStream_t stream) {
  const Rows table = RowsOf(p.table), out = RowsOf(p.out);
  const int64_t rows = p.ids.dim(0), columns = p.table.dim(1);
  WithType(table.bf16, [&](auto type) {
    WithWidth(Aligned({table, out}), [&](auto width) {
      constexpr int kWidth = decltype(width)::value;
      const Cover cover(rows, columns, kWidth);
      if (cover.empty()) return;
      Embed<decltype(type), kWidth><<<cover.grid, cover.block, 0, stream>>>(
          table, static_cast<const int32_t*>(p.ids.data), out, p.table.dim(0), rows, columns);
    });
  });
  CheckLaunch("embed");
}

void LaunchEmbedBackward(const EmbedBackwardParams& p, cudaStream_t stream) {
  const int64_t rows = p.ids.dim(0), columns = p.d_table.dim(1);
  if (rows == 0 || columns == 0) return;
  const Rows d_out = RowsOf(p.d_out), table = RowsOf(p.d_table);
  WithType(d_out.bf16, [&](auto type) {
    EmbedBackward<decltype(type)><<<static_cast<unsigned>(rows), kModelThreads, 0, stream>>>(
        static_cast<const int32_t*>(p.ids.data), d_out, static_cast<float*>(table.data),
        table.stride, p.d_table.dim(0), rows, columns);
  });
  CheckLaunch("embed_backward");
}

void LaunchTimeFeatures(const TimeFeaturesParams& p, cudaStream_t stream) {
  const int64_t rows = p.t.dim(0), half = p.out.dim(1) / 2;
  const Rows out = RowsOf(p.out);
  const Cover cover(rows, half, 1);
  if (cover.empty()) return;
  WithType(out.bf16, [&](auto type) {
    TimeFeatures<decltype(type)><<<cover.grid, cover.block, 0, stream>>>(
        static_cast<const float*>(p.t.data), out, rows, half);
  });
  CheckLaunch("time_features");
}

}  // namespace suffice::cuda
