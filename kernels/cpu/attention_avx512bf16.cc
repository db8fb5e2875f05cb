// SPDX-License-Identifier: Apache-2.0
// bf16 attention by vdpbf16ps. Products of fp32 inputs are attention_avx512.cc's.
#include "kernels/cpu/attend-inl.h"
#include "kernels/cpu/attend_backward-inl.h"
#include "kernels/cpu/vector_avx512-inl.h"

namespace suffice::cpu {
namespace {

struct Avx512Bf16 : Avx512 {
  static constexpr int kUnitValues = 2;

  static F Dot(F sum, F a, F b) {
    return _mm512_dpbf16_ps(sum, reinterpret_cast<__m512bh>(a), reinterpret_cast<__m512bh>(b));
  }
  // Lane i: rows[0] in the low half, rows[1] in the high half, by the hardware's rounding.
  static void StoreUnits(float* to, const F (&rows)[2]) {
    const __m512i halves = reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(rows[1], rows[0]));
    const __m512i order =
        _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6,
                         21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    _mm512_storeu_si512(to, _mm512_permutexvar_epi16(order, halves));
  }
  // The instruction flushes subnormals as the project's rounding does, but keeps a NaN's sign and
  // payload.
  static void StoreBf16(uint16_t* p, F x) {
    const __m256i y = reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(x));
    const __mmask16 nan = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p),
                        _mm256_mask_mov_epi16(y, nan, _mm256_set1_epi16(0x7FC0)));
  }
};

// Rows 2 r and 2 r + 1 of bf16 interleaved: pair d of row r of `to`.
void PairRows(Rows from, int64_t rows, int dim, Rows to) {
  for (int64_t r = 0; r < rows; r += 2) {
    const auto* even = reinterpret_cast<const uint16_t*>(from.data + r * from.stride_bytes);
    const auto* odd = reinterpret_cast<const uint16_t*>(from.data + (r + 1) * from.stride_bytes);
    auto* pair = reinterpret_cast<uint32_t*>(to.data + r / 2 * to.stride_bytes);
    if (r + 1 < rows) {
      for (int d = 0; d < dim; ++d) pair[d] = even[d] | static_cast<uint32_t>(odd[d]) << 16;
    } else {
      for (int d = 0; d < dim; ++d) pair[d] = even[d];
    }
  }
}

}  // namespace

const AttentionKernels& KernelsAvx512Bf16() {
  static constexpr AttentionKernels kKernels = {
      .pairs = true,
      .wide_input = false,
      .copy_rows = &CopyRows<Avx512Bf16, uint16_t>,
      .pair_rows = &PairRows,
      .attend_scratch = &AttendScratch<Avx512Bf16>,
      .attend = &Attend<Avx512Bf16, uint16_t>,
      .full_lse = &FullLse<Avx512Bf16, uint16_t>,
      .row_statistics = &RowStatistics<Avx512Bf16, uint16_t>,
      .gradient_scratch = &GradientScratchBytes<Avx512Bf16>,
      .query_gradient = &QueryGradientOf<Avx512Bf16, uint16_t>,
      .key_gradient_begin = &KeyGradientBegin<Avx512Bf16, uint16_t>,
      .key_gradient_add = &KeyGradientAdd<Avx512Bf16>,
      .key_gradient_end = &KeyGradientEnd<Avx512Bf16, uint16_t>,
  };
  return kKernels;
}

}  // namespace suffice::cpu
