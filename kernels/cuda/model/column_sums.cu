// SPDX-License-Identifier: Apache-2.0
// Sums over rows, and the two operations that are little else.
#include "kernels/cuda/model/column_sums.h"
#include "kernels/cuda/model/launch_model.h"

namespace suffice::cuda {
namespace {

constexpr int kAddLanes = 32;
constexpr int kAddRows = 32;

__global__ void __launch_bounds__(kAddLanes* kAddRows)
    AddChunks(const float* partials, int64_t stride, int64_t groups, int64_t per_group, float* out,
              int64_t out_stride, int64_t columns, bool accumulate) {
  __shared__ float shared[kAddRows][kAddLanes];
  const int64_t column = int64_t{blockIdx.x} * kAddLanes + threadIdx.x;
  for (int64_t group = blockIdx.y; group < groups; group += gridDim.y) {
    const float* from = partials + group * per_group * stride + column;
    float sum = 0.0f;
    if (column < columns) {
#pragma unroll 8
      for (int64_t c = threadIdx.y; c < per_group; c += kAddRows) sum += from[c * stride];
    }
    shared[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y == 0 && column < columns) {
      float* to = out + group * out_stride + column;
      float total = 0.0f;
#pragma unroll
      for (int y = 0; y < kAddRows; ++y) total += shared[y][threadIdx.x];
      *to = accumulate ? *to + total : total;
    }
    __syncthreads();
  }
}

template <class T>
struct RowSource {
  static constexpr int kSums = 1;
  Rows x;
  template <int kWidth>
  __device__ void Add(int64_t row, int64_t, int64_t column, int64_t left,
                      float (&sums)[kSums][kWidth]) const {
    float values[kWidth];
    Read<kWidth>(At<const T>(x, row, column), left, values);
#pragma unroll
    for (int d = 0; d < kWidth; ++d) sums[0][d] += values[d];
  }
};

// Writes dh on the way.
template <class T>
struct GateSource {
  static constexpr int kSums = 1;
  Rows h, dy, gate, dh;
  template <int kWidth>
  __device__ void Add(int64_t row, int64_t group, int64_t column, int64_t left,
                      float (&sums)[kSums][kWidth]) const {
    float y[kWidth], x[kWidth], g[kWidth];
    Read<kWidth>(At<const T>(dy, row, column), left, y);
    Read<kWidth>(At<const T>(h, row, column), left, x);
    Read<kWidth>(At<const T>(gate, group, column), left, g);
#pragma unroll
    for (int d = 0; d < kWidth; ++d) {
      sums[0][d] += y[d] * x[d];
      y[d] *= g[d];
    }
    Write<kWidth>(At<T>(dh, row, column), left, y);
  }
};

template <class T, int kWidth>
__global__ void __launch_bounds__(kModelThreads)
    ApplyGate(Rows dy, Rows gate, Rows dh, int64_t rows, int64_t columns, int64_t rows_per_gate) {
  ForEachPiece<kWidth>(rows, columns, [&](int64_t row, int64_t column, int64_t left) {
    float y[kWidth], g[kWidth];
    Read<kWidth>(At<const T>(dy, row, column), left, y);
    Read<kWidth>(At<const T>(gate, row / rows_per_gate, column), left, g);
#pragma unroll
    for (int d = 0; d < kWidth; ++d) y[d] *= g[d];
    Write<kWidth>(At<T>(dh, row, column), left, y);
  });
}

RowChunks ChunksOf(const GateBackwardParams& p) {
  return {p.gate.dim(0), p.dy.dim(0), p.dy.dim(1)};
}
RowChunks ChunksOf(const SumRowsParams& p) { return {p.out.dim(0), p.x.dim(0), p.x.dim(1)}; }

}  // namespace

void AddPartials(const float* partials, int64_t stride, int64_t groups, int64_t per_group,
                 const View& out, bool accumulate, cudaStream_t stream) {
  const int64_t columns = out.dim(out.shape.rank - 1);
  if (columns == 0 || groups == 0) return;
  const dim3 grid(static_cast<unsigned>((columns + kAddLanes - 1) / kAddLanes),
                  static_cast<unsigned>(std::min<int64_t>(groups, 65535)));
  const int64_t out_stride = out.shape.rank > 1 && groups > 1 ? out.stride(0) : 0;
  AddChunks<<<grid, dim3(kAddLanes, kAddRows), 0, stream>>>(partials, stride, groups, per_group,
                                                            static_cast<float*>(out.data),
                                                            out_stride, columns, accumulate);
  CheckLaunch("sums over rows");
}

size_t GateBackwardWorkspace(const GateBackwardParams& p) {
  if (p.d_gate.empty()) return 0;
  return static_cast<size_t>(ChunksOf(p).count() * p.dy.dim(1)) * sizeof(float);
}

void LaunchGateBackward(const GateBackwardParams& p, void* workspace, cudaStream_t stream) {
  const Rows h = RowsOf(p.h), dy = RowsOf(p.dy), gate = RowsOf(p.gate), dh = RowsOf(p.dh);
  const int64_t rows = p.dy.dim(0), columns = p.dy.dim(1);
  if (p.d_gate.empty()) {
    const int64_t rows_per_gate = std::max<int64_t>(1, rows / p.gate.dim(0));
    WithType(dy.bf16, [&](auto type) {
      WithWidth(Aligned({dy, gate, dh}), [&](auto width) {
        constexpr int kWidth = decltype(width)::value;
        const Cover cover(rows, columns, kWidth);
        if (cover.empty()) return;
        ApplyGate<decltype(type), kWidth>
            <<<cover.grid, cover.block, 0, stream>>>(dy, gate, dh, rows, columns, rows_per_gate);
      });
    });
    CheckLaunch("gate_backward");
    return;
  }
  const RowChunks chunks = ChunksOf(p);
  auto* partials = static_cast<float*>(workspace);
  WithType(dy.bf16, [&](auto type) {
    LaunchColumnSums(GateSource<decltype(type)>{h, dy, gate, dh}, chunks, columns,
                     Aligned({h, dy, gate, dh}), partials, stream);
  });
  AddPartials(partials, columns, chunks.groups, chunks.per_group, p.d_gate, true, stream);
}

size_t SumRowsWorkspace(const SumRowsParams& p) {
  return static_cast<size_t>(ChunksOf(p).count() * p.x.dim(1)) * sizeof(float);
}

void LaunchSumRows(const SumRowsParams& p, void* workspace, cudaStream_t stream) {
  const Rows x = RowsOf(p.x);
  const RowChunks chunks = ChunksOf(p);
  const int64_t columns = p.x.dim(1);
  auto* partials = static_cast<float*>(workspace);
  WithType(x.bf16, [&](auto type) {
    LaunchColumnSums(RowSource<decltype(type)>{x}, chunks, columns, Aligned({x}), partials, stream);
  });
  AddPartials(partials, columns, chunks.groups, chunks.per_group, p.out, p.accumulate, stream);
}

}  // namespace suffice::cuda
