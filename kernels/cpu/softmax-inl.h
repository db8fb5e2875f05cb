// SPDX-License-Identifier: Apache-2.0
// 2^x for softmax weights.
#pragma once

#include "kernels/cpu/attention_tile.h"

namespace suffice::cpu {
namespace {

// 2^x for x <= 0, or above it by no more than roundings: a polynomial in r = x - n, n = round(x),
// times 2^n. -infinity gives exactly 0, NaN stays NaN. The polynomials are the minimax ones of
// relative error with p(0) = 1: degree 4 (3.6e-6) where the result is rounded to bf16, degree 6
// (2.6e-9) elsewhere.
template <class V, int kDegree>
[[gnu::always_inline]] inline typename V::F Exp2(typename V::F x) {
  static_assert(kDegree == 4 || kDegree == 6);
  const auto [n, r] = V::SplitInteger(x);
  typename V::F p;
  if constexpr (kDegree == 4) {
    p = V::Set1(0.009782912f);
    p = V::Fma(p, r, V::Set1(0.055976883f));
    p = V::Fma(p, r, V::Set1(0.2402071f));
    p = V::Fma(p, r, V::Set1(0.6931136f));
  } else {
    p = V::Set1(0.00015594678f);
    p = V::Fma(p, r, V::Set1(0.0013406643f));
    p = V::Fma(p, r, V::Set1(0.009617693f));
    p = V::Fma(p, r, V::Set1(0.055503104f));
    p = V::Fma(p, r, V::Set1(0.24022652f));
    p = V::Fma(p, r, V::Set1(0.69314724f));
  }
  p = V::Fma(p, r, V::Set1(1.0f));
  return V::TimesPowerOf2(p, n);
}

}  // namespace
}  // namespace suffice::cpu
