// SPDX-License-Identifier: Apache-2.0
// The inner loops of the cpu backend's model operations: one row or one piece of a flat array each,
// compiled once per instruction set from row_kernels-inl.h and chosen at run time. Threads, chunks
// and workspaces are the business of the callers.
//
// All sums run over sixteen lanes that are added in one fixed order, whatever the register width.
#pragma once

#include <cstdint>

#include "kernels/backend.h"

namespace suffice::cpu {

// A pointer to bf16 or fp32 values, contiguous; null = not given.
struct Floats {
  void* data = nullptr;
  DType dtype = DType::kF32;

  Floats operator+(int64_t elements) const {
    return {static_cast<char*>(data) + elements * static_cast<int64_t>(SizeOf(dtype)), dtype};
  }
  explicit operator bool() const { return data != nullptr; }
};
inline Floats FloatsOf(const View& v) { return {v.data, v.dtype}; }
inline Floats RowOf(const View& v, int64_t row) {
  return v.empty() ? Floats{} : FloatsOf(v) + row * v.stride(0);
}

struct LinearRow {
  int64_t n;
  const float* sums;  // (n)
  Floats bias, pre_activation, ungated, gate, residual, out;
  Activation activation;
};

struct NormRow {
  int64_t d;
  Floats x, scale, shift, y;
  float eps;
  float* mean;
  float* rstd;
};

struct NormBackwardRow {
  int64_t d;
  Floats x, scale, dy, dx;
  float mean, rstd;
  bool accumulate_dx;
  float* d_scale;  // (d) sums of the caller's chunk, added to; optional
  float* d_shift;
};

struct QkRow {
  int64_t d;
  Floats in, weight, out;
  const float* cos;  // (d / 2); optional
  const float* sin;
  float eps;
  float* rrms;  // out; optional
};

struct QkBackwardRow {
  int64_t d;
  Floats in, weight, d_out, d_in;
  const float* cos;
  const float* sin;
  float rrms;
  float* d_weight;  // (d) sums of the caller's chunk, added to; optional
};

struct AdamWPiece {
  int64_t n;
  float *master, *m, *v, *ema;  // ema optional
  const float* grad;
  Floats compute;
  float clip, lr, beta1, beta2, eps, weight_decay, ema_decay;
  float correction1, correction2;  // 1 - beta^step
};

struct RowKernels {
  // c[r] += a[r] b for four rows c[r] = c + r * stride.
  void (*add_outer)(int64_t n, const float a[4], const float* b, float* c, int64_t stride);
  void (*linear)(const LinearRow&);
  void (*activation_backward)(int64_t n, Activation, Floats pre_activation, Floats dy, Floats dx);
  void (*silu)(int64_t n, Floats x, Floats dy, Floats out);
  // dh = dy * gate; d_gate += dy * h.
  void (*gate_backward)(int64_t n, Floats h, Floats dy, Floats gate, Floats dh, float* d_gate);
  void (*add_row)(int64_t n, Floats x, float* sums);  // sums += x
  void (*norm)(const NormRow&);
  void (*norm_backward)(const NormBackwardRow&);
  void (*qk)(const QkRow&);
  void (*qk_backward)(const QkBackwardRow&);
  void (*axpby)(int64_t n, float alpha, Floats x, float beta, Floats y, Floats out);
  // Sum of (x - y)^2; d_x = factor * (x - y) if given.
  double (*squared_difference)(int64_t n, Floats x, Floats y, Floats d_x, float factor);
  double (*sum_squares)(int64_t n, Floats x);
  void (*adamw)(const AdamWPiece&);
};

const RowKernels& RowKernelsPortable();
const RowKernels& RowKernelsAvx2();
const RowKernels& RowKernelsAvx512();
inline const RowKernels& RowKernelsFor(const Context& context) {
#if defined(__x86_64__)
  if (context.isa() >= CpuIsa::kAvx512) return RowKernelsAvx512();
  if (context.isa() >= CpuIsa::kAvx2) return RowKernelsAvx2();
#endif
  return RowKernelsPortable();
}

}  // namespace suffice::cpu
