// SPDX-License-Identifier: Apache-2.0
// 16 lanes of AVX-512 (F, BW, VL, DQ). A *-inl.h file lies in an anonymous namespace: every source
// that includes it has a private copy, compiled for its own instruction set.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace suffice::cpu {
namespace {

struct Avx512 {
  using F = __m512;
  static constexpr int kLanes = 16;
  static constexpr int kColumns = 4;  // vectors side by side in a product's accumulators
  static constexpr int kUnitValues = 1;

  static F Zero() { return _mm512_setzero_ps(); }
  static F Set1(float x) { return _mm512_set1_ps(x); }
  static void KeepInRegister(F& x) { asm("" : "+v"(x)); }
  static F Load(const float* p) { return _mm512_loadu_ps(p); }
  static F LoadUnits(const char* p) { return _mm512_loadu_ps(p); }
  static void Store(float* p, F x) { _mm512_storeu_ps(p, x); }
  static F Add(F a, F b) { return _mm512_add_ps(a, b); }
  static F Sub(F a, F b) { return _mm512_sub_ps(a, b); }
  static F Mul(F a, F b) { return _mm512_mul_ps(a, b); }
  static F Div(F a, F b) { return _mm512_div_ps(a, b); }
  static F Fma(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }
  static F CancellingFma(F a, F b, F c) { return Fma(a, b, c); }
  static F Max(F a, F b) { return _mm512_max_ps(a, b); }  // b where either is NaN
  // For Exp2: x - floor(x), 0 for -infinity; and x * 2^floor(n).
  static F Fraction(F x) { return _mm512_reduce_ps(x, _MM_FROUND_TO_NEG_INF); }
  static F TimesPowerOf2(F x, F n) { return _mm512_scalef_ps(x, n); }
  // y where x equals the value c, x elsewhere.
  static F ReplaceEqual(F x, F c, F y) {
    return _mm512_mask_mov_ps(x, _mm512_cmp_ps_mask(x, c, _CMP_EQ_OQ), y);
  }
  // y where a < b, x elsewhere.
  static F ReplaceLess(F x, F a, F b, F y) {
    return _mm512_mask_mov_ps(x, _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), y);
  }

  static F BroadcastUnit(const char* p) {
    float x;
    __builtin_memcpy(&x, p, sizeof(x));
    return _mm512_set1_ps(x);
  }
  static F Dot(F sum, F a, F b) { return _mm512_fmadd_ps(a, b, sum); }
  // One row of units from kUnitValues rows of values.
  static void StoreUnits(float* to, const F (&rows)[1]) { Store(to, rows[0]); }

  // 16 x 16 transpose of the vectors row(0) .. row(15); rows of `to` are to_stride values apart.
  template <class Row>
  [[gnu::always_inline]] static inline void Transpose(Row row, float* to, int64_t to_stride) {
    __m512 r[16], s[16];
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) r[i] = row(i);
#pragma GCC unroll 8
    for (int i = 0; i < 16; i += 2) {
      s[i] = _mm512_unpacklo_ps(r[i], r[i + 1]);
      s[i + 1] = _mm512_unpackhi_ps(r[i], r[i + 1]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 16; i += 4) {
      const __m512d a = _mm512_castps_pd(s[i]), b = _mm512_castps_pd(s[i + 1]);
      const __m512d c = _mm512_castps_pd(s[i + 2]), d = _mm512_castps_pd(s[i + 3]);
      r[i] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, c));
      r[i + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, c));
      r[i + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(b, d));
      r[i + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(b, d));
    }
    // r[4 g + c] holds, of rows 4 g .. 4 g + 3, the columns c, c + 4, c + 8, c + 12 in its
    // quarters.
#pragma GCC unroll 4
    for (int c = 0; c < 4; ++c) {
      const __m512 lo01 = _mm512_shuffle_f32x4(r[c], r[4 + c], 0x88);
      const __m512 hi01 = _mm512_shuffle_f32x4(r[c], r[4 + c], 0xDD);
      const __m512 lo23 = _mm512_shuffle_f32x4(r[8 + c], r[12 + c], 0x88);
      const __m512 hi23 = _mm512_shuffle_f32x4(r[8 + c], r[12 + c], 0xDD);
      _mm512_storeu_ps(to + c * to_stride, _mm512_shuffle_f32x4(lo01, lo23, 0x88));
      _mm512_storeu_ps(to + (c + 8) * to_stride, _mm512_shuffle_f32x4(lo01, lo23, 0xDD));
      _mm512_storeu_ps(to + (c + 4) * to_stride, _mm512_shuffle_f32x4(hi01, hi23, 0x88));
      _mm512_storeu_ps(to + (c + 12) * to_stride, _mm512_shuffle_f32x4(hi01, hi23, 0xDD));
    }
  }

  static F LoadBf16(const uint16_t* p) {
    const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
  }
  // The project's rounding (lib/base/dtype.h).
  static void StoreBf16(uint16_t* p, F x) {
    const __m512i bits = _mm512_castps_si512(x);
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    __m512i y = _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7FFF)), odd);
    const __m512i magnitude = _mm512_and_si512(bits, _mm512_set1_epi32(0x7FFFFFFF));
    const __mmask16 tiny = _mm512_cmplt_epi32_mask(magnitude, _mm512_set1_epi32(0x00800000));
    y = _mm512_mask_and_epi32(y, tiny, bits, _mm512_set1_epi32(INT32_MIN));
    const __mmask16 nan = _mm512_cmpgt_epi32_mask(magnitude, _mm512_set1_epi32(0x7F800000));
    y = _mm512_mask_mov_epi32(y, nan, _mm512_set1_epi32(0x7FC00000));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p),
                        _mm512_cvtepi32_epi16(_mm512_srli_epi32(y, 16)));
  }
};

}  // namespace
}  // namespace suffice::cpu
