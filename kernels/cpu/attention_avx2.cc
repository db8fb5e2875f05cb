// SPDX-License-Identifier: Apache-2.0
// Attention in 8-lane AVX2 fp32 arithmetic.
#include "kernels/cpu/attention_fp32-inl.h"
#include "kernels/cpu/select-inl.h"
#include "kernels/cpu/vector_avx2-inl.h"

namespace suffice::cpu {

const AttentionKernels& KernelsAvx2(bool bf16) {
  return bf16 ? kFp32Kernels<Avx2, uint16_t> : kFp32Kernels<Avx2, float>;
}

const SelectKernels& SelectKernelsAvx2() { return kSelectKernels<Avx2>; }

}  // namespace suffice::cpu
