// SPDX-License-Identifier: Apache-2.0
// Attention in 16-lane AVX-512 fp32 arithmetic.
#include "kernels/cpu/attention_fp32-inl.h"
#include "kernels/cpu/select-inl.h"
#include "kernels/cpu/vector_avx512-inl.h"

namespace suffice::cpu {

const AttentionKernels& KernelsAvx512(bool bf16) {
  return bf16 ? kFp32Kernels<Avx512, uint16_t> : kFp32Kernels<Avx512, float>;
}

const SelectKernels& SelectKernelsAvx512() { return kSelectKernels<Avx512>; }

}  // namespace suffice::cpu
