// SPDX-License-Identifier: Apache-2.0
#include <immintrin.h>

#include "kernels/bench/peak-inl.h"
#include "kernels/bench/peak.h"

namespace suffice::bench {
namespace {

struct Avx512Bf16Chain {
  using F = __m512;
  static F Set1(float x) { return _mm512_set1_ps(x); }
  static F Step(F sum, F x) {
    return _mm512_dpbf16_ps(sum, reinterpret_cast<__m512bh>(x), reinterpret_cast<__m512bh>(x));
  }
  static float First(F sum) { return _mm512_cvtss_f32(sum); }
};

}  // namespace

PeakLoop PeakLoopAvx512Bf16() { return {16.0 * 32 * 2, &RunChains<Avx512Bf16Chain, 16>}; }

}  // namespace suffice::bench
