// SPDX-License-Identifier: Apache-2.0
// Sums of squares over long rows. A CTA sums a stretch whose length no device changes, a thread a
// few values of it in fp32; everything after that is a double, in a fixed order.
#include "kernels/cuda/launch.h"
#include "kernels/cuda/model/launch_model.h"
#include "kernels/cuda/model/values.h"

namespace suffice::cuda {
namespace {

constexpr int64_t kStretch = 8 * kPiece * kModelThreads;

int64_t StretchesOf(int64_t count) { return (count + kStretch - 1) / kStretch; }

// The sum over the CTA, valid in its first thread.
__device__ double SumOfThreads(double x) {
  __shared__ double shared[kModelThreads / 32];
#pragma unroll
  for (int step = 16; step > 0; step /= 2) x += __shfl_xor_sync(0xFFFFFFFFu, x, step);
  if (threadIdx.x % 32 == 0) shared[threadIdx.x / 32] = x;
  __syncthreads();
  double sum = 0.0;
#pragma unroll
  for (int warp = 0; warp < kModelThreads / 32; ++warp) sum += shared[warp];
  return sum;
}

// Source: what `left` values from (row, column) on add.
template <int kWidth, class Source>
__global__ void __launch_bounds__(kModelThreads)
    StretchSums(Source source, int64_t columns, int64_t stretches, double* partials) {
  const int64_t row = blockIdx.x / stretches, stretch = blockIdx.x % stretches;
  const int64_t begin = stretch * kStretch, end = min(begin + kStretch, columns);
  float sum = 0.0f;
#pragma unroll 2
  for (int64_t i = begin + threadIdx.x * kWidth; i < end; i += kModelThreads * kWidth) {
    source.template Add<kWidth>(row, i, end - i, sum);
  }
  const double total = SumOfThreads(sum);
  if (threadIdx.x == 0) partials[blockIdx.x] = total;
}

// out[row] = (out[row] +) factor * the sum of the row's stretches.
__global__ void __launch_bounds__(kModelThreads)
    AddStretches(const double* partials, int64_t stretches, double divisor, bool accumulate,
                 float* out) {
  const double* from = partials + blockIdx.x * stretches;
  double sum = 0.0;
#pragma unroll 4
  for (int64_t i = threadIdx.x; i < stretches; i += kModelThreads) sum += from[i];
  const double total = SumOfThreads(sum) / divisor;
  if (threadIdx.x != 0) return;
  out[blockIdx.x] = static_cast<float>(accumulate ? double{out[blockIdx.x]} + total : total);
}

template <class T>
struct SquareSource {
  Rows x;
  template <int kWidth>
  __device__ void Add(int64_t row, int64_t column, int64_t left, float& sum) const {
    float values[kWidth];
    Read<kWidth>(At<const T>(x, row, column), left, values);
#pragma unroll
    for (int d = 0; d < kWidth; ++d) sum = fmaf(values[d], values[d], sum);
  }
};

// Writes the gradient on the way.
template <class T>
struct DifferenceSource {
  Rows x, y, d_x;
  float factor;
  template <int kWidth>
  __device__ void Add(int64_t row, int64_t column, int64_t left, float& sum) const {
    float values[kWidth], others[kWidth];
    Read<kWidth>(At<const T>(x, row, column), left, values);
    ReadAny<kWidth>(y, row, column, left, others);
#pragma unroll
    for (int d = 0; d < kWidth; ++d) {
      values[d] -= others[d];
      sum = fmaf(values[d], values[d], sum);
      values[d] *= factor;
    }
    if (d_x.data != nullptr) Write<kWidth>(At<T>(d_x, row, column), left, values);
  }
};

template <class Source>
void LaunchSums(const Source& source, int64_t rows, int64_t columns, bool wide, double* partials,
                double divisor, bool accumulate, void* out, cudaStream_t stream) {
  if (rows == 0) return;
  const int64_t stretches = StretchesOf(columns);
  WithWidth(wide, [&](auto width) {
    constexpr int kWidth = decltype(width)::value;
    if (stretches == 0) return;
    StretchSums<kWidth><<<static_cast<unsigned>(rows * stretches), kModelThreads, 0, stream>>>(
        source, columns, stretches, partials);
  });
  AddStretches<<<static_cast<unsigned>(rows), kModelThreads, 0, stream>>>(
      partials, stretches, divisor, accumulate, static_cast<float*>(out));
  CheckLaunch("sum of squares");
}

}  // namespace

size_t MseWorkspace(const MseParams& p) {
  return static_cast<size_t>(p.x.dim(0) * StretchesOf(p.x.dim(1))) * sizeof(double);
}

void LaunchMse(const MseParams& p, void* workspace, cudaStream_t stream) {
  const int64_t groups = p.x.dim(0), n = p.x.dim(1);
  const int64_t stride = groups > 1 ? n : 0;
  const Rows x = FlatRows(p.x, stride), y = FlatRows(p.y, stride), d_x = FlatRows(p.d_x, stride);
  const auto factor = static_cast<float>(2.0 * double{p.weight} /
                                         static_cast<double>(std::max<int64_t>(1, groups) * n));
  WithType(x.bf16, [&](auto type) {
    LaunchSums(DifferenceSource<decltype(type)>{x, y, d_x, factor}, groups, n, Aligned({x, y, d_x}),
               static_cast<double*>(workspace), static_cast<double>(n), false, p.loss.data, stream);
  });
}

size_t SumSquaresWorkspace(const SumSquaresParams& p) {
  return static_cast<size_t>(StretchesOf(p.x.shape.elements())) * sizeof(double);
}

void LaunchSumSquares(const SumSquaresParams& p, void* workspace, cudaStream_t stream) {
  const Rows x = FlatRows(p.x, 0);
  WithType(x.bf16, [&](auto type) {
    LaunchSums(SquareSource<decltype(type)>{x}, 1, p.x.shape.elements(), Aligned({x}),
               static_cast<double*>(workspace), 1.0, p.accumulate, p.out.data, stream);
  });
}

}  // namespace suffice::cuda
