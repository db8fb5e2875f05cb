// SPDX-License-Identifier: Apache-2.0
// Differentiable functions: each allocates its result and what its backward pass needs, runs one or
// two operations, and records the way back. Matrices are (rows, features); rows are samples times
// tokens, sample by sample.
#pragma once

#include <optional>

#include "lib/nn/tape.h"

namespace suffice {

// y (M, N) = act(x W^T + bias): x (M, K), weight (N, K), bias (N) fp32 or empty.
// Keeps x, and the product before the activation if there is one. `out` is x's dtype or fp32.
Var Linear(Tape& tape, const Var& x, const Var& weight, const Var& bias,
           Activation activation = Activation::kNone, std::optional<DType> out = std::nullopt);

// y = residual + gate * (x W^T + bias), gate (G, N) for groups of M / G rows, or empty for 1.
// Keeps x, and the product before the gate if the gate wants a gradient.
Var LinearGateResidual(Tape& tape, const Var& x, const Var& weight, const Var& bias,
                       const Var& gate, const Var& residual);

// y = LayerNorm(x) (1 + scale) + shift, (G, D) or (D) each, or both empty. Their gradients must be
// fp32. Keeps x and two numbers a row.
Var NormModulate(Tape& tape, const Var& x, const Var& scale, const Var& shift);

Var Silu(Tape& tape, const Var& x);                          // contiguous
Var Add(Tape& tape, const Var& x, const Var& y);             // equal shapes
Var Embed(Tape& tape, const Var& table, const Tensor& ids);  // ids (R) i32 -> (R, D)

// Mean over each of `groups` equal parts of x of (x - target)^2, (groups) fp32, and the gradient of
// weight times their mean as x's: the start of a backward pass. Keeps nothing but that gradient.
Tensor MseLoss(Tape& tape, const Var& x, const Tensor& target, int64_t groups, float weight);

}  // namespace suffice
