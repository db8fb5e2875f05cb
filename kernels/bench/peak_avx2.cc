// SPDX-License-Identifier: Apache-2.0
#include <immintrin.h>

#include "kernels/bench/peak-inl.h"
#include "kernels/bench/peak.h"

namespace suffice::bench {
namespace {

struct Avx2Chain {
  using F = __m256;
  static F Set1(float x) { return _mm256_set1_ps(x); }
  static F Step(F sum, F x) { return _mm256_fmadd_ps(sum, x, x); }
  static float First(F sum) { return _mm256_cvtss_f32(sum); }
};

}  // namespace

PeakLoop PeakLoopAvx2() { return {12.0 * 8 * 2, &RunChains<Avx2Chain, 12>}; }

}  // namespace suffice::bench
