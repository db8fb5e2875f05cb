// SPDX-License-Identifier: Apache-2.0
// The one rounding to bf16 (lib/base/dtype.h) by the hardware's, for device code.
#pragma once

#include <cstdint>

#include "lib/base/dtype.h"

#ifdef __CUDACC__

namespace suffice::cuda {

// Pairs of values, the first in the low half. The hardware's rounding differs for subnormal
// numbers, so these are flushed before, and in the bits of a NaN: then it is done by hand.
template <int kCount>
__device__ void RoundToBFloat16(const float (&x)[kCount], uint32_t (&words)[kCount / 2]) {
  static_assert(kCount % 2 == 0);
  float any = 0.0f;
#pragma unroll
  for (int d = 0; d < kCount; d += 2) {
    float low, high;
    asm("mul.ftz.f32 %0, %1, 0f3F800000;" : "=f"(low) : "f"(x[d]));
    asm("mul.ftz.f32 %0, %1, 0f3F800000;" : "=f"(high) : "f"(x[d + 1]));
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(words[d / 2]) : "f"(high), "f"(low));
    any += low;
    any += high;
  }
  if (any != any) {
#pragma unroll
    for (int d = 0; d < kCount; d += 2) {
      words[d / 2] = ToBFloat16(x[d]).bits | uint32_t{ToBFloat16(x[d + 1]).bits} << 16;
    }
  }
}

}  // namespace suffice::cuda

#endif  // __CUDACC__
