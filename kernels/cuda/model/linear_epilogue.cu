// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/launch.h"
#include "kernels/cuda/model/activation.h"
#include "kernels/cuda/model/linear.h"

namespace suffice::cuda {
namespace {

template <class Sum, class T, int kWidth>
__global__ void __launch_bounds__(kModelThreads)
    LinearEpilogue(const __grid_constant__ EpilogueArgs a) {
  ForEachPiece<kWidth>(a.rows, a.columns, [&](int64_t row, int64_t column, int64_t left) {
    float x[kWidth], y[kWidth], residual[kWidth] = {};
    Read<kWidth>(At<const Sum>(a.sums, row, column), left, x);
    if (a.residual.data != nullptr) {
      Read<kWidth>(At<const T>(a.residual, row, column), left, residual);
    }
    if (a.bias.data != nullptr) {
      ReadAny<kWidth>(a.bias, 0, column, left, y);
#pragma unroll
      for (int d = 0; d < kWidth; ++d) x[d] += y[d];
    }
    if (a.pre_activation.data != nullptr) {
      Write<kWidth>(At<T>(a.pre_activation, row, column), left, x);
    }
#pragma unroll
    for (int d = 0; d < kWidth; ++d) x[d] = Activate(a.activation, x[d]);
    if (a.ungated.data != nullptr) Write<kWidth>(At<T>(a.ungated, row, column), left, x);
    if (a.gate.data != nullptr) {
      ReadAny<kWidth>(a.gate, row / a.rows_per_gate, column, left, y);
#pragma unroll
      for (int d = 0; d < kWidth; ++d) x[d] *= y[d];
    }
    if (a.residual.data != nullptr) {
#pragma unroll
      for (int d = 0; d < kWidth; ++d) x[d] += residual[d];
    }
    Write<kWidth>(At<T>(a.out, row, column), left, x);
  });
}

template <class Sum, class T>
void LaunchTyped(const EpilogueArgs& a, cudaStream_t stream) {
  WithWidth(Aligned({a.sums, a.bias, a.pre_activation, a.ungated, a.gate, a.residual, a.out}),
            [&](auto width) {
              constexpr int kWidth = decltype(width)::value;
              const Cover cover(a.rows, a.columns, kWidth);
              if (cover.empty()) return;
              LinearEpilogue<Sum, T, kWidth><<<cover.grid, cover.block, 0, stream>>>(a);
            });
}

}  // namespace

void LaunchLinearEpilogue(const EpilogueArgs& a, cudaStream_t stream) {
  if (a.sums.bf16) {
    LaunchTyped<BFloat16, BFloat16>(a, stream);
  } else {
    WithType(a.out.bf16, [&](auto type) { LaunchTyped<float, decltype(type)>(a, stream); });
  }
  CheckLaunch("linear epilogue");
}

}  // namespace suffice::cuda
