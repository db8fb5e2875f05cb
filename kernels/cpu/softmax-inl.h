// SPDX-License-Identifier: Apache-2.0
// 2^x for softmax weights.
#pragma once

#include "kernels/cpu/attention_tile.h"

namespace suffice::cpu {
namespace {

// 2^x for x <= 0, or above it by no more than roundings: 2^floor(x) times a polynomial in x -
// floor(x). -infinity gives exactly 0, NaN stays NaN. The polynomial is the minimax one of relative
// error on [0, 1] with p(0) = 1: 8.2e-8. (Degree 4, 2.9e-6, would do for weights that are rounded
// to bf16, but not for the lse of rows that one key dominates.)
template <class V>
struct Exp2 {
  using F = typename V::F;
  F coefficients[6] = {V::Set1(0.0018671300f), V::Set1(0.0090170307f), V::Set1(0.055799913f),
                       V::Set1(0.24016444f),   V::Set1(0.69315130f),   V::Set1(1.0f)};

  [[gnu::always_inline]] inline F operator()(F x) const {
    const F r = V::Fraction(x);
    F p = coefficients[0];
#pragma GCC unroll 5
    for (int i = 1; i < 6; ++i) p = V::Fma(p, r, coefficients[i]);
    return V::TimesPowerOf2(p, x);
  }

  // For loops with registers to spare. By itself the compiler reads every coefficient from memory
  // each time, and the loads take longer than the arithmetic.
  void KeepInRegisters() {
#pragma GCC unroll 6
    for (F& x : coefficients) V::KeepInRegister(x);
  }
};

}  // namespace
}  // namespace suffice::cpu
