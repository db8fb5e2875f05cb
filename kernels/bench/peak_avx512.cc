// SPDX-License-Identifier: Apache-2.0
#include <immintrin.h>

#include "kernels/bench/peak-inl.h"
#include "kernels/bench/peak.h"

namespace suffice::bench {
namespace {

struct Avx512Chain {
  using F = __m512;
  static F Set1(float x) { return _mm512_set1_ps(x); }
  static F Step(F sum, F x) { return _mm512_fmadd_ps(sum, x, x); }
  static float First(F sum) { return _mm512_cvtss_f32(sum); }
};

}  // namespace

PeakLoop PeakLoopAvx512() { return {16.0 * 16 * 2, &RunChains<Avx512Chain, 16>}; }

}  // namespace suffice::bench
