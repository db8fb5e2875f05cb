// SPDX-License-Identifier: Apache-2.0
// Attention in the compiler's own vector fp32 arithmetic.
#include "kernels/cpu/attention_fp32-inl.h"
#include "kernels/cpu/select-inl.h"
#include "kernels/cpu/vector_portable-inl.h"

namespace suffice::cpu {

const AttentionKernels& KernelsPortable(bool bf16) {
  return bf16 ? kFp32Kernels<Portable, uint16_t> : kFp32Kernels<Portable, float>;
}

const SelectKernels& SelectKernelsPortable() { return kSelectKernels<Portable>; }

}  // namespace suffice::cpu
