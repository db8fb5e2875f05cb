// SPDX-License-Identifier: Apache-2.0
// E, the stated exponential of the selection rule (kernels/select_rule.h): one fp32 function with
// one order of operations, so that every backend and instruction set gives the same bits.
//
// For x <= 0:  t = fma(x, log2 e, 1.5 2^23)       round(x log2 e) in the low bits of t
//              n = t - 1.5 2^23
//              r = fma(n, -ln2_lo, fma(n, -ln2_hi, x))            |r| <= ln 2 / 2
//              p = 1 + c1 r + ... + c6 r^6, Horner, every step an fma
//              E = p * 2^n, by adding n to p's exponent field
// The polynomial is the minimax one of relative error 2.6e-9 with p(0) = 1; with the roundings of
// fp32, |E / e^x - 1| <= 1.2e-7 (tests/kernels/stated_exp_test.cc). E(0) = E(-0) = 1; E(x) = 0 for
// x < -87 (where the exponential nears the subnormal numbers), for -infinity and for NaN. Positive
// x is outside the domain. Rounding mode: to nearest even. No subnormal number is read or made.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

#include "lib/base/shared_inline.h"

namespace suffice {

SUFFICE_SHARED_INLINE float StatedExp(float x) {
  const float clamped = x >= -87.0f ? x : -87.0f;
  const float t = std::fma(clamped, 0x1.715476p+0f, 0x1.8p+23f);
  const float n = t - 0x1.8p+23f;
  float r = std::fma(n, -0x1.62e400p-1f, clamped);
  r = std::fma(n, -0x1.7f7d1cp-20f, r);
  float p = 0x1.709b64p-10f;
  p = std::fma(p, r, 0x1.12903ep-7f);
  p = std::fma(p, r, 0x1.55515ep-5f);
  p = std::fma(p, r, 0x1.5553c2p-3f);
  p = std::fma(p, r, 0x1.000002p-1f);
  p = std::fma(p, r, 1.0f);
  p = std::fma(p, r, 1.0f);
  const uint32_t shift = std::bit_cast<uint32_t>(t) << 23;
  const float e = std::bit_cast<float>(std::bit_cast<uint32_t>(p) + shift);
  return x >= -87.0f ? e : 0.0f;
}

}  // namespace suffice
