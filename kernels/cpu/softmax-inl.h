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
[[gnu::always_inline]] inline typename V::F Exp2(typename V::F x) {
  const auto r = V::Fraction(x);
  auto p = V::Set1(0.0018671300f);
  p = V::Fma(p, r, V::Set1(0.0090170307f));
  p = V::Fma(p, r, V::Set1(0.055799913f));
  p = V::Fma(p, r, V::Set1(0.24016444f));
  p = V::Fma(p, r, V::Set1(0.69315130f));
  p = V::Fma(p, r, V::Set1(1.0f));
  return V::TimesPowerOf2(p, x);
}

}  // namespace
}  // namespace suffice::cpu
