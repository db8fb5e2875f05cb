// SPDX-License-Identifier: Apache-2.0
// The operations of a diffusion transformer apart from attention, forward and backward.
//
// Activations and weights are bf16 or fp32 (one dtype per call unless a line says otherwise);
// statistics and gradients of parameters are fp32. Sums are fp32 or wider, in an order that does
// not depend on the number of threads. "accumulate" adds to what is there instead of overwriting.
//
// A matrix (M, N) may have any row stride and has its last axis contiguous; other operands are
// contiguous unless a line says otherwise. kernels/model_ops_check.h says no to anything else.
#pragma once

#include <cstdint>

#include "lib/base/view.h"

namespace suffice {

enum class Activation : uint8_t { kNone, kGeluTanh, kSilu };

// out = act(a b + bias), then residual + gate * that.
// a (M, K), b (K, N): either may be a transposed view (a weight (N, K) is passed transposed), one
// of its two strides being 1. The three products of a layer are all this operation:
//   y = x W^T + bias    dx = dy W    dW += dy^T x
struct LinearParams {
  View a, b;
  View bias;  // (N) fp32 or the dtype of a; optional
  Activation activation = Activation::kNone;
  View
      pre_activation;  // (M, N) dtype of out: a b + bias, kept for the backward pass; optional, out
  View gate;           // (G, N) dtype of a, M a multiple of G: row r uses gate row r / (M / G);
                       // optional, goes with residual
  View residual;       // (M, N) dtype of out; with gate or alone; may be `out` itself
  View ungated;        // (M, N) dtype of out: act(a b + bias), kept for d_gate; optional, out
  View out;            // (M, N) dtype of a, or fp32
  bool accumulate = false;  // out += ...; only without activation, gate and residual
};

// dx = dy * act'(pre_activation). dx may be dy.
struct ActivationBackwardParams {
  View pre_activation, dy, dx;  // (M, N)
  Activation activation = Activation::kNone;
};

// Gradient of out = residual + gate * h: dh = dy * gate, d_gate[g] += sum over its rows of dy * h.
struct GateBackwardParams {
  View h, dy;   // (M, N)
  View gate;    // (G, N)
  View dh;      // (M, N), out
  View d_gate;  // (G, N) fp32, accumulated; optional
};

// out[g] = sum over the rows of group g of x; gives bias gradients (G = 1).
struct SumRowsParams {
  View x;    // (M, N), M a multiple of G
  View out;  // (G, N) fp32
  bool accumulate = true;
};

// y = norm(x) * (1 + scale) + shift, norm = LayerNorm without affine over the last axis
// (adaLN of DiT, arXiv 2212.09748, section 3.2). Scale and shift are rows per sample.
struct NormModulateParams {
  View x;             // (M, D)
  View scale, shift;  // (G, D) of x's dtype or fp32, M a multiple of G; both or neither
  View y;             // (M, D), out
  View mean, rstd;    // (M) fp32, out
  float eps = 1e-6f;
};
struct NormModulateBackwardParams {
  View x, scale, mean, rstd;
  View dy;                // (M, D)
  View dx;                // (M, D), out
  View d_scale, d_shift;  // (G, D) fp32, accumulated; optional, with scale
  bool accumulate_dx = false;
};

// For q and for k at once: RMS normalisation of each head with a weight (optional), rotation by
// 3-D RoPE angles (optional), block means of the result (optional). Pairs (2i, 2i + 1) rotate by
// cos, sin (N, D / 2). The mean is over the *rounded* output, as PoolParams would give.
struct QkSide {
  View in;      // (B, N, H, D), D contiguous: a slice of the fused projection
  View weight;  // (D) fp32 or dtype of in; optional (then no normalisation)
  View out;     // (B, H, N, D), out
  View pooled;  // (B, H, ceil(N / block), D) fp32, out; optional
  View rrms;    // (B, H, N) fp32: 1 / rms, out; required with weight
  int block = 128;
};
struct QkNormRopePoolParams {
  QkSide q, k;    // k.in empty: q alone
  View cos, sin;  // (N, D / 2) fp32; optional
  float eps = 1e-6f;
};
struct QkSideBackward {
  View in, weight, rrms;
  View d_out;     // (B, H, N, D)
  View d_in;      // (B, N, H, D), out
  View d_weight;  // (D) fp32, accumulated; with weight
};
struct QkNormRopeBackwardParams {
  QkSideBackward q, k;
  View cos, sin;
};

// out[r] = table[ids[r]], zeros for an id outside the table; the backward pass adds rows of d_out
// to d_table in ascending r.
struct EmbedParams {
  View table;  // (V, D)
  View ids;    // (R) i32 in [0, V)
  View out;    // (R, D)
};
struct EmbedBackwardParams {
  View ids, d_out;
  View d_table;  // (V, D) fp32, accumulated
};

// Sinusoidal features of a time t in [0, 1]: out[r] = [cos(1000 t w_i), sin(1000 t w_i)],
// w_i = 10000^(-i / (D / 2)).
struct TimeFeaturesParams {
  View t;    // (R) fp32
  View out;  // (R, D), D even
};

// Video <-> tokens, bf16 or fp32 each. video (B, C, F, Y, X) of any strides; patches of (pf, py,
// px); tokens (B, N, pf * py * px * C), N = (F / pf) * (Y / py) * (X / px), values in the order
// (pf, py, px, C). `order` (N) i32 gives the raster index of each token: token n is patch order[n].
struct PatchifyParams {
  View video;
  View tokens;
  View order;  // optional: raster order
  int patch[3] = {1, 1, 1};
  bool inverse = false;  // tokens -> video
};

// out = alpha * x + beta * y elementwise; dtypes may differ; out may be x or y; y empty: a cast and
// scale. `alphas`, `betas` (G) fp32 give each of G equal parts its own factors.
struct AxpbyParams {
  View x, y, out;  // equal sizes if all are contiguous, else matrices of equal shapes
  float alpha = 1.0f;
  float beta = 0.0f;
  View alphas, betas;  // optional; multiply alpha, beta; G divides the rows of matrices
};

// out = silu(x), or with dy: dx = dy * silu'(x) into out, which may be dy.
struct SiluParams {
  View x, out;  // equal sizes, contiguous
  View dy;      // optional
};

// loss[g] = mean over group g of (x - y)^2; d_x = 2 (x - y) * weight / elements of all groups, the
// gradient of weight * mean over g of loss[g].
struct MseParams {
  View x, y;  // (G, n); dtypes may differ
  View loss;  // (G) fp32, out
  View d_x;   // (G, n) dtype of x; optional, out
  float weight = 1.0f;
};

// out[0] (+)= sum of squares of x; gradient norms stay on the device.
struct SumSquaresParams {
  View x;
  View out;  // (1) fp32
  bool accumulate = true;
};

// out[i] = the normal deviate at (seed, stream, offset + i) (lib/base/philox.h), rounded to out's
// dtype.
struct NormalFillParams {
  View out;
  uint64_t seed = 0;
  uint32_t stream = 0;
  uint64_t offset = 0;
};

struct FillParams {
  View out;  // contiguous, or a matrix
  float value = 0.0f;
};

// AdamW (Loshchilov and Hutter, arXiv 1711.05101) with fp32 masters, gradient clipping by the
// global norm, an exponential moving average, and the rounded copy that the model computes with. A
// step whose gradients are not all finite changes nothing: what was good before it stays.
struct AdamWParams {
  View master, m, v;     // fp32, contiguous, equal sizes
  View grad;             // fp32
  View compute;          // bf16 or fp32 copy, out; optional
  View ema;              // fp32, ema = decay * ema + (1 - decay) * master; optional
  View grad_square_sum;  // (1) fp32, over all parameters
  // (4) fp32, what changes from step to step: the rate lr; the decay of ema; and the corrections of
  // bias, 1 - beta1^s and 1 - beta2^s at step s from 1. On the device, so that a recorded step
  // needs no other parameters the next time.
  View schedule;
  float beta1 = 0.9f, beta2 = 0.999f, eps = 1e-8f, weight_decay = 0;
  float clip_norm = 0;  // 0: none
};

}  // namespace suffice
