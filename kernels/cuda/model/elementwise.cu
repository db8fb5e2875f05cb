// SPDX-License-Identifier: Apache-2.0
// Operations without sums: one pass, every value read before the thread that read it writes.
#include "kernels/cuda/launch.h"
#include "kernels/cuda/model/activation.h"
#include "kernels/cuda/model/launch_model.h"
#include "kernels/cuda/model/values.h"

namespace suffice::cuda {
namespace {

template <class T, int kWidth>
__global__ void __launch_bounds__(kModelThreads)
    ActivationBackward(Rows pre_activation, Rows dy, Rows dx, int64_t rows, int64_t columns,
                       Activation activation) {
  ForEachPiece<kWidth>(rows, columns, [&](int64_t row, int64_t column, int64_t left) {
    float x[kWidth], d[kWidth];
    Read<kWidth>(At<const T>(pre_activation, row, column), left, x);
    Read<kWidth>(At<const T>(dy, row, column), left, d);
#pragma unroll
    for (int i = 0; i < kWidth; ++i) d[i] *= Slope(activation, x[i]);
    Write<kWidth>(At<T>(dx, row, column), left, d);
  });
}

// dy: not given for the forward operation.
template <class T, int kWidth>
__global__ void __launch_bounds__(kModelThreads) Silu(Rows x, Rows dy, Rows out, int64_t count) {
  ForEachPiece<kWidth>(1, count, [&](int64_t row, int64_t column, int64_t left) {
    float y[kWidth], d[kWidth];
    Read<kWidth>(At<const T>(x, row, column), left, y);
    if (dy.data == nullptr) {
#pragma unroll
      for (int i = 0; i < kWidth; ++i) d[i] = Activate(Activation::kSilu, y[i]);
    } else {
      Read<kWidth>(At<const T>(dy, row, column), left, d);
#pragma unroll
      for (int i = 0; i < kWidth; ++i) d[i] *= Slope(Activation::kSilu, y[i]);
    }
    Write<kWidth>(At<T>(out, row, column), left, d);
  });
}

struct AxpbyArgs {
  Rows x, y, out;
  int64_t rows, columns, rows_per_part;
  float alpha, beta;
  const float *alphas, *betas;
};

template <class X, class Out, int kWidth>
__global__ void __launch_bounds__(kModelThreads) Axpby(AxpbyArgs a) {
  ForEachPiece<kWidth>(a.rows, a.columns, [&](int64_t row, int64_t column, int64_t left) {
    float alpha = a.alpha, beta = a.beta;
    if (a.alphas != nullptr) alpha *= a.alphas[row / a.rows_per_part];
    if (a.betas != nullptr) beta *= a.betas[row / a.rows_per_part];
    float z[kWidth];
    Read<kWidth>(At<const X>(a.x, row, column), left, z);
    if (a.y.data == nullptr) {
#pragma unroll
      for (int i = 0; i < kWidth; ++i) z[i] *= alpha;
    } else {
      float y[kWidth];
      ReadAny<kWidth>(a.y, row, column, left, y);
#pragma unroll
      for (int i = 0; i < kWidth; ++i) z[i] = alpha * z[i] + beta * y[i];
    }
    Write<kWidth>(At<Out>(a.out, row, column), left, z);
  });
}

template <class T, int kWidth>
__global__ void __launch_bounds__(kModelThreads)
    Fill(Rows out, int64_t rows, int64_t columns, float value) {
  float x[kWidth];
#pragma unroll
  for (int i = 0; i < kWidth; ++i) x[i] = value;
  ForEachPiece<kWidth>(rows, columns, [&](int64_t row, int64_t column, int64_t left) {
    Write<kWidth>(At<T>(out, row, column), left, x);
  });
}

}  // namespace

void LaunchActivationBackward(const ActivationBackwardParams& p, cudaStream_t stream) {
  const Rows pre = RowsOf(p.pre_activation), dy = RowsOf(p.dy), dx = RowsOf(p.dx);
  const int64_t rows = p.dy.dim(0), columns = p.dy.dim(1);
  WithType(dy.bf16, [&](auto type) {
    WithWidth(Aligned({pre, dy, dx}), [&](auto width) {
      constexpr int kWidth = decltype(width)::value;
      const Cover cover(rows, columns, kWidth);
      if (cover.empty()) return;
      ActivationBackward<decltype(type), kWidth>
          <<<cover.grid, cover.block, 0, stream>>>(pre, dy, dx, rows, columns, p.activation);
    });
  });
  CheckLaunch("activation_backward");
}

void LaunchSilu(const SiluParams& p, cudaStream_t stream) {
  const Rows x = FlatRows(p.x, 0), dy = FlatRows(p.dy, 0), out = FlatRows(p.out, 0);
  const int64_t count = p.x.shape.elements();
  WithType(x.bf16, [&](auto type) {
    WithWidth(Aligned({x, dy, out}), [&](auto width) {
      constexpr int kWidth = decltype(width)::value;
      const Cover cover(1, count, kWidth);
      if (cover.empty()) return;
      Silu<decltype(type), kWidth><<<cover.grid, cover.block, 0, stream>>>(x, dy, out, count);
    });
  });
  CheckLaunch("silu");
}

void LaunchAxpby(const AxpbyParams& p, cudaStream_t stream) {
  AxpbyArgs a{};
  const View& factors = p.alphas.empty() ? p.betas : p.alphas;
  const int64_t parts = factors.empty() ? 1 : factors.dim(0);
  if (p.x.contiguous() && p.out.contiguous() && (p.y.empty() || p.y.contiguous())) {
    a.rows = parts;  // a part is a row
    a.columns = p.out.shape.elements() / parts;
    a.rows_per_part = 1;
    const int64_t stride = parts > 1 ? a.columns : 0;
    a.x = FlatRows(p.x, stride);
    a.y = FlatRows(p.y, stride);
    a.out = FlatRows(p.out, stride);
  } else {
    a.rows = p.out.dim(0);
    a.columns = p.out.dim(1);
    a.rows_per_part = std::max<int64_t>(1, a.rows / parts);
    a.x = RowsOf(p.x);
    a.y = RowsOf(p.y);
    a.out = RowsOf(p.out);
  }
  a.alpha = p.alpha;
  a.beta = p.beta;
  a.alphas = static_cast<const float*>(p.alphas.data);
  a.betas = static_cast<const float*>(p.betas.data);
  WithType(a.x.bf16, [&](auto x) {
    WithType(a.out.bf16, [&](auto out) {
      WithWidth(Aligned({a.x, a.y, a.out}), [&](auto width) {
        constexpr int kWidth = decltype(width)::value;
        const Cover cover(a.rows, a.columns, kWidth);
        if (cover.empty()) return;
        Axpby<decltype(x), decltype(out), kWidth><<<cover.grid, cover.block, 0, stream>>>(a);
      });
    });
  });
  CheckLaunch("axpby");
}

void LaunchFill(const FillParams& p, cudaStream_t stream) {
  const bool flat = p.out.contiguous();
  const int64_t rows = flat ? 1 : p.out.dim(0);
  const int64_t columns = flat ? p.out.shape.elements() : p.out.dim(1);
  const Rows out = flat ? FlatRows(p.out, 0) : RowsOf(p.out);
  WithType(out.bf16, [&](auto type) {
    WithWidth(Aligned({out}), [&](auto width) {
      constexpr int kWidth = decltype(width)::value;
      const Cover cover(rows, columns, kWidth);
      if (cover.empty()) return;
      Fill<decltype(type), kWidth>
          <<<cover.grid, cover.block, 0, stream>>>(out, rows, columns, p.value);
    });
  });
  CheckLaunch("fill");
}

}  // namespace suffice::cuda
