// SPDX-License-Identifier: Apache-2.0
// Activations and their derivatives in device code.
#pragma once

#include "kernels/model_ops.h"

namespace suffice::cuda {

inline constexpr float kGeluScale = 0.7978845608f;  // sqrt(2 / pi)
inline constexpr float kGeluCubic = 0.044715f;

__device__ inline float Sigmoid(float x) { return __fdividef(1.0f, 1.0f + expf(-x)); }

// The tanh form, x (1 + tanh u) / 2 = x sigmoid(2 u).
__device__ inline float GeluSigmoid(float x) {
  return Sigmoid(2.0f * kGeluScale * x * (1.0f + kGeluCubic * (x * x)));
}

__device__ inline float Activate(Activation activation, float x) {
  if (activation == Activation::kGeluTanh) return x * GeluSigmoid(x);
  if (activation == Activation::kSilu) return x * Sigmoid(x);
  return x;
}

__device__ inline float Slope(Activation activation, float x) {
  if (activation == Activation::kGeluTanh) {
    const float s = GeluSigmoid(x);
    const float inner = 2.0f * kGeluScale * (1.0f + 3.0f * kGeluCubic * (x * x));
    return s + x * (s * (1.0f - s)) * inner;
  }
  if (activation == Activation::kSilu) {
    const float s = Sigmoid(x);
    return s * (1.0f + x * (1.0f - s));
  }
  return 1.0f;
}

}  // namespace suffice::cuda
