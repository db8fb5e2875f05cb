// SPDX-License-Identifier: Apache-2.0
// Values of a row as kernels move them: 16 bytes at a time where everything is aligned to 16 bytes,
// one by one where not; bf16 or fp32 in memory, fp32 in registers.
#pragma once

#include <bit>
#include <cstdint>
#include <initializer_list>

#include "lib/base/dtype.h"

namespace suffice::cuda {

// Whether every row that starts at a multiple of these strides (in elements) is aligned.
template <class T>
bool Aligned16(const void* data, std::initializer_list<int64_t> strides) {
  constexpr auto kValues = static_cast<int64_t>(16 / sizeof(T));
  bool aligned = reinterpret_cast<uintptr_t>(data) % 16 == 0;
  for (const int64_t stride : strides) aligned = aligned && stride % kValues == 0;
  return aligned;
}

#ifdef __CUDACC__

template <class T, int kWidth = static_cast<int>(16 / sizeof(T))>
struct Vector;

template <>
struct Vector<float, 4> {
  static constexpr int kValues = 4;
  float4 bits;
  __device__ float value(int d) const {
    return d == 0 ? bits.x : d == 1 ? bits.y : d == 2 ? bits.z : bits.w;
  }
};

template <>
struct Vector<BFloat16, 8> {
  static constexpr int kValues = 8;
  uint4 bits;
  __device__ float value(int d) const {
    const uint32_t pair = d < 2 ? bits.x : d < 4 ? bits.y : d < 6 ? bits.z : bits.w;
    return std::bit_cast<float>(d % 2 == 0 ? pair << 16 : pair & 0xFFFF0000u);
  }
};

template <>
struct Vector<float, 1> {
  static constexpr int kValues = 1;
  float bits;
  __device__ float value(int) const { return bits; }
};

template <>
struct Vector<BFloat16, 1> {
  static constexpr int kValues = 1;
  uint16_t bits;
  __device__ float value(int) const { return std::bit_cast<float>(uint32_t{bits} << 16); }
};

template <class T, int kWidth>
__device__ Vector<T, kWidth> LoadVector(const T* from) {
  using Bits = decltype(Vector<T, kWidth>::bits);
  return {__ldg(reinterpret_cast<const Bits*>(from))};
}

template <int kWidth>
__device__ void StoreFloats(float* to, const float (&x)[kWidth]) {
  if constexpr (kWidth % 4 == 0) {
#pragma unroll
    for (int d = 0; d < kWidth; d += 4) {
      *reinterpret_cast<float4*>(to + d) = make_float4(x[d], x[d + 1], x[d + 2], x[d + 3]);
    }
  } else {
#pragma unroll
    for (int d = 0; d < kWidth; ++d) to[d] = x[d];
  }
}

#endif  // __CUDACC__

}  // namespace suffice::cuda
