// SPDX-License-Identifier: Apache-2.0
// 8 lanes of AVX2 and FMA.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace suffice::cpu {
namespace {

struct Avx2 {
  using F = __m256;
  static constexpr int kLanes = 8;
  static constexpr int kColumns = 2;
  static constexpr int kUnitValues = 1;

  static F Zero() { return _mm256_setzero_ps(); }
  static F Set1(float x) { return _mm256_set1_ps(x); }
  static void KeepInRegister(F&) {}  // there are too few
  static F Load(const float* p) { return _mm256_loadu_ps(p); }
  static F LoadUnits(const char* p) { return _mm256_loadu_ps(reinterpret_cast<const float*>(p)); }
  static void Store(float* p, F x) { _mm256_storeu_ps(p, x); }
  static F Add(F a, F b) { return _mm256_add_ps(a, b); }
  static F Sub(F a, F b) { return _mm256_sub_ps(a, b); }
  static F Mul(F a, F b) { return _mm256_mul_ps(a, b); }
  static F Div(F a, F b) { return _mm256_div_ps(a, b); }
  static F Fma(F a, F b, F c) { return _mm256_fmadd_ps(a, b, c); }
  static F CancellingFma(F a, F b, F c) { return Fma(a, b, c); }
  static F Max(F a, F b) { return _mm256_max_ps(a, b); }

  // For Exp2: x - floor(x); and x * 2^floor(n), by adding to the exponent of x in [1, 2]. Below
  // -127 floor(n) counts as -127, which makes exactly 0 of 1, and the fraction there is 0. The
  // minimum takes a NaN out of the shift.
  static F Floor(F x) {
    return _mm256_round_ps(Max(Set1(-127.0f), x), _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
  }
  static F Fraction(F x) { return Sub(Max(Set1(-127.0f), x), Floor(x)); }
  static F TimesPowerOf2(F x, F n) {
    const F magic = Set1(0x1.8p+23f);
    const __m256i t = _mm256_castps_si256(_mm256_min_ps(Add(Floor(n), magic), magic));
    return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(x), _mm256_slli_epi32(t, 23)));
  }
  static F ReplaceEqual(F x, F c, F y) {
    return _mm256_blendv_ps(x, y, _mm256_cmp_ps(x, c, _CMP_EQ_OQ));
  }
  static F ReplaceLess(F x, F a, F b, F y) {
    return _mm256_blendv_ps(x, y, _mm256_cmp_ps(a, b, _CMP_LT_OQ));
  }

  static F BroadcastUnit(const char* p) {
    float x;
    __builtin_memcpy(&x, p, sizeof(x));
    return _mm256_set1_ps(x);
  }
  static F Dot(F sum, F a, F b) { return _mm256_fmadd_ps(a, b, sum); }
  static void StoreUnits(float* to, const F (&rows)[1]) { Store(to, rows[0]); }

  template <class Row>
  [[gnu::always_inline]] static inline void Transpose(Row row, float* to, int64_t to_stride) {
    __m256 r[8], s[8];
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i) r[i] = row(i);
#pragma GCC unroll 4
    for (int i = 0; i < 8; i += 2) {
      s[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
      s[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
    }
#pragma GCC unroll 2
    for (int i = 0; i < 8; i += 4) {
      r[i] = _mm256_shuffle_ps(s[i], s[i + 2], 0x44);
      r[i + 1] = _mm256_shuffle_ps(s[i], s[i + 2], 0xEE);
      r[i + 2] = _mm256_shuffle_ps(s[i + 1], s[i + 3], 0x44);
      r[i + 3] = _mm256_shuffle_ps(s[i + 1], s[i + 3], 0xEE);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      _mm256_storeu_ps(to + i * to_stride, _mm256_permute2f128_ps(r[i], r[i + 4], 0x20));
      _mm256_storeu_ps(to + (i + 4) * to_stride, _mm256_permute2f128_ps(r[i], r[i + 4], 0x31));
    }
  }

  static F LoadBf16(const uint16_t* p) {
    const __m128i bits = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
  }
  static void StoreBf16(uint16_t* p, F x) {
    const __m256i bits = _mm256_castps_si256(x);
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    __m256i y = _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7FFF)), odd);
    const __m256i magnitude = _mm256_and_si256(bits, _mm256_set1_epi32(0x7FFFFFFF));
    const __m256i tiny = _mm256_cmpgt_epi32(_mm256_set1_epi32(0x00800000), magnitude);
    y = _mm256_blendv_epi8(y, _mm256_and_si256(bits, _mm256_set1_epi32(INT32_MIN)), tiny);
    const __m256i nan = _mm256_cmpgt_epi32(magnitude, _mm256_set1_epi32(0x7F800000));
    y = _mm256_blendv_epi8(y, _mm256_set1_epi32(0x7FC00000), nan);
    y = _mm256_srli_epi32(y, 16);
    y = _mm256_permute4x64_epi64(_mm256_packus_epi32(y, y), 0x08);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_castsi256_si128(y));
  }
};

}  // namespace
}  // namespace suffice::cpu
