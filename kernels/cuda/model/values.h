// SPDX-License-Identifier: Apache-2.0
// Operands of the model operations as their kernels see them: rows of bf16 or fp32 values, moved a
// piece of eight at a time where everything is aligned to 16 bytes, one by one where not, and
// worked on in fp32. Loads are plain ones: an operation may work in place.
#pragma once

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <type_traits>

#include "kernels/cuda/round.h"
#include "lib/base/view.h"

namespace suffice::cuda {

inline constexpr int kPiece = 8;
inline constexpr int kModelThreads = 256;  // of a CTA

struct Rows {
  void* data = nullptr;  // null: not given
  int64_t stride = 0;    // elements from row to row
  bool bf16 = false;
};

// A matrix, or nothing.
inline Rows RowsOf(const View& v) {
  return {v.data, v.dim(0) > 1 ? v.stride(0) : 0, v.dtype == DType::kBF16};
}
// A contiguous array as rows of `columns` values.
inline Rows FlatRows(const View& v, int64_t columns) {
  return {v.data, columns, v.dtype == DType::kBF16};
}

// Whether all rows start at multiples of 16 bytes.
inline bool Aligned(std::initializer_list<Rows> operands) {
  bool aligned = true;
  for (const Rows& r : operands) {
    const int64_t values = r.bf16 ? 8 : 4;  // in 16 bytes
    aligned = aligned && reinterpret_cast<uintptr_t>(r.data) % 16 == 0 && r.stride % values == 0;
  }
  return aligned;
}

// Calls body with a value of the type, and with a constant of the width, that kernels are made for.
template <class Body>
void WithType(bool bf16, const Body& body) {
  bf16 ? body(BFloat16{}) : body(float{});
}
template <int kWide = kPiece, class Body>
void WithWidth(bool wide, const Body& body) {
  wide ? body(std::integral_constant<int, kWide>{}) : body(std::integral_constant<int, 1>{});
}

// A grid over the pieces of a matrix: x along a row, y over rows, which the kernel strides over.
struct Cover {
  dim3 grid, block;
  Cover(int64_t rows, int64_t columns, int width) {
    const int64_t pieces = (columns + width - 1) / width;
    unsigned y = 1;
    while (y < 8 && y < rows) y *= 2;
    unsigned x = 1;
    while (x < kModelThreads / y && x < pieces) x *= 2;
    block = dim3(x, kModelThreads / x);
    grid = dim3(static_cast<unsigned>((pieces + block.x - 1) / block.x),
                static_cast<unsigned>(std::min<int64_t>((rows + block.y - 1) / block.y, 65535)));
  }
  bool empty() const { return grid.x == 0 || grid.y == 0; }
};

#ifdef __CUDACC__

template <class T>
__device__ T* At(const Rows& r, int64_t row, int64_t column) {
  return static_cast<T*>(r.data) + row * r.stride + column;
}

// x becomes the values at `from`, of which `left` exist; zeros stand for the others.
template <int kWidth>
__device__ void Read(const float* from, int64_t left, float (&x)[kWidth]) {
  if (kWidth >= 4 && left >= kWidth) {
#pragma unroll
    for (int d = 0; d + 3 < kWidth; d += 4) {
      const float4 bits = *reinterpret_cast<const float4*>(from + d);
      x[d] = bits.x;
      x[d + 1] = bits.y;
      x[d + 2] = bits.z;
      x[d + 3] = bits.w;
    }
  } else {
#pragma unroll
    for (int d = 0; d < kWidth; ++d) x[d] = d < left ? from[d] : 0.0f;
  }
}
template <int kWidth>
__device__ void Read(const BFloat16* from, int64_t left, float (&x)[kWidth]) {
  if (kWidth >= 4 && left >= kWidth) {
    uint32_t words[(kWidth + 1) / 2];
    if constexpr (kWidth == 8) {
      const uint4 bits = *reinterpret_cast<const uint4*>(from);
      words[0] = bits.x;
      words[1] = bits.y;
      words[2] = bits.z;
      words[3] = bits.w;
    } else if constexpr (kWidth == 4) {
      const uint2 bits = *reinterpret_cast<const uint2*>(from);
      words[0] = bits.x;
      words[1] = bits.y;
    }
#pragma unroll
    for (int d = 0; d + 1 < kWidth; d += 2) {
      x[d] = __uint_as_float(words[d / 2] << 16);
      x[d + 1] = __uint_as_float(words[d / 2] & 0xFFFF0000u);
    }
  } else {
#pragma unroll
    for (int d = 0; d < kWidth; ++d) x[d] = d < left ? ToFloat(from[d]) : 0.0f;
  }
}
// Of a type known only when the kernel runs.
template <int kWidth>
__device__ void ReadAny(const Rows& r, int64_t row, int64_t column, int64_t left,
                        float (&x)[kWidth]) {
  if (r.bf16) {
    Read<kWidth>(At<const BFloat16>(r, row, column), left, x);
  } else {
    Read<kWidth>(At<const float>(r, row, column), left, x);
  }
}

// Rounded where the type asks for it.
template <int kWidth>
__device__ void Write(float* to, int64_t left, const float (&x)[kWidth]) {
  if (kWidth >= 4 && left >= kWidth) {
#pragma unroll
    for (int d = 0; d + 3 < kWidth; d += 4) {
      *reinterpret_cast<float4*>(to + d) = make_float4(x[d], x[d + 1], x[d + 2], x[d + 3]);
    }
  } else {
#pragma unroll
    for (int d = 0; d < kWidth; ++d) {
      if (d < left) to[d] = x[d];
    }
  }
}
template <int kWidth>
__device__ void Write(BFloat16* to, int64_t left, const float (&x)[kWidth]) {
  if (kWidth >= 4 && left >= kWidth) {
    if constexpr (kWidth >= 4) {
      uint32_t words[kWidth / 2];
      RoundToBFloat16(x, words);
      if constexpr (kWidth == 8) {
        *reinterpret_cast<uint4*>(to) = make_uint4(words[0], words[1], words[2], words[3]);
      } else {
        *reinterpret_cast<uint2*>(to) = make_uint2(words[0], words[1]);
      }
    }
  } else {
#pragma unroll
    for (int d = 0; d < kWidth; ++d) {
      if (d < left) to[d] = ToBFloat16(x[d]);
    }
  }
}

// Calls body(row, column, left) for the pieces of this thread under a Cover.
template <int kWidth, class Body>
__device__ void ForEachPiece(int64_t rows, int64_t columns, const Body& body) {
  const int64_t column = (int64_t{blockIdx.x} * blockDim.x + threadIdx.x) * kWidth;
  if (column >= columns) return;
  const int64_t step = int64_t{gridDim.y} * blockDim.y;
  for (int64_t row = int64_t{blockIdx.y} * blockDim.y + threadIdx.y; row < rows; row += step) {
    body(row, column, columns - column);
  }
}

#endif  // __CUDACC__

}  // namespace suffice::cuda
