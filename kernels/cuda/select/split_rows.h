// SPDX-License-Identifier: Apache-2.0
// Rows of fp32 for tensor cores that multiply fp16. A row is scaled by a power of two so that its
// largest value lies in [2^8, 2^9), and each value is split into two fp16 numbers, high + low: 22
// bits of it, and never less than 33 bits below the row's largest. Rows that hold infinities or
// NaN, or whose largest value is not in [2^-60, 2^61), are left out.
//
// Rows are split on their way into shared memory: as fp32 they are as many bytes, and are read no
// more often than two halves of them would be.
#pragma once

#include <cuda_fp16.h>

#include <algorithm>
#include <cstdint>

#include "kernels/cuda/select/group.h"

namespace suffice::cuda {

// Rows of kDim values in shared memory, those beyond the dimension 0. `unscale` undoes a row's
// scaling; 0 for one left out. 16-byte pieces of a row are interchanged within eight, row by row,
// and no two rows that are read together meet in a bank.
template <int kDim>
struct SplitTile {
  char* high;
  char* low;
  float* unscale;

  __device__ static int At(int row, int byte) { return row * kDim * 2 + (byte ^ ((row & 7) << 4)); }
};

struct Scaling {
  float scale, unscale;
};
// `largest`: the bits of the row's largest magnitude.
__device__ inline Scaling ScalingOf(uint32_t largest) {
  const int exponent = static_cast<int>(largest >> 23) - 127;
  if (largest == 0) return {1.0f, 1.0f};
  if (exponent < -60 || exponent > 60) return {0.0f, 0.0f};
  return {__uint_as_float(static_cast<uint32_t>(127 + 8 - exponent) << 23),
          __uint_as_float(static_cast<uint32_t>(127 - 8 + exponent) << 23)};
}

// Where rows come from: `wide` if all of them are aligned to 16 bytes, as is their length.
struct RowSource {
  const float* first;
  int64_t stride;
  int dim;
  bool wide;
};

// kCount neighbouring rows on their way to a tile, by one warp: each lane has some neighbouring
// values of each row.
template <int kDim, int kCount>
class RowsInFlight {
 public:
  static constexpr int kWidth = kDim / 32;  // values of a lane

  // Starts to read rows from `first` on, those before `end`; the others are 0.
  __device__ void Load(const RowSource& from, int first, int end) {
    constexpr int kVector = std::min(kWidth, 4);
    const int column = kWidth * LaneId();
    const float* row = from.first + first * from.stride + column;
#pragma unroll
    for (int n = 0; n < kCount; ++n, row += from.stride) {
#pragma unroll
      for (int d = 0; d < kWidth; d += kVector) {
#pragma unroll
        for (int v = d; v < d + kVector; ++v) values_[n][v] = 0.0f;
        if (first + n >= end) continue;
        if (from.wide) {
          if (column + d >= from.dim) continue;
          if constexpr (kVector == 4) {
            const float4 x = __ldg(reinterpret_cast<const float4*>(row + d));
            values_[n][d] = x.x;
            values_[n][d + 1] = x.y;
            values_[n][d + 2] = x.z;
            values_[n][d + 3] = x.w;
          } else {
            const float2 x = __ldg(reinterpret_cast<const float2*>(row + d));
            values_[n][d] = x.x;
            values_[n][d + 1] = x.y;
          }
        } else {
#pragma unroll
          for (int v = d; v < d + kVector; ++v) {
            if (column + v < from.dim) values_[n][v] = __ldg(row + v);
          }
        }
      }
    }
  }

  // Splits them into rows of the tile from `first` on; true if one is left out. A Tile is SplitTile
  // or has other places for the same, At(row, byte).
  template <class Tile>
  __device__ bool Split(const Tile& to, int first) const {
    bool leaves_out = false;
#pragma unroll
    for (int n = 0; n < kCount; ++n) {
      uint32_t largest = 0;
#pragma unroll
      for (int d = 0; d < kWidth; ++d) {
        largest = max(largest, __float_as_uint(values_[n][d]) & 0x7FFFFFFFu);
      }
      const Scaling s = ScalingOf(__reduce_max_sync(kAllLanes, largest));
      leaves_out = leaves_out || s.unscale == 0.0f;  // zeros and NaN in the tile
      if (LaneId() == 0) to.unscale[first + n] = s.unscale;
      __half2 high[kWidth / 2], low[kWidth / 2];
#pragma unroll
      for (int d = 0; d < kWidth; d += 2) {
        const float x = values_[n][d] * s.scale, y = values_[n][d + 1] * s.scale;
        high[d / 2] = __floats2half2_rn(x, y);
        const float2 rounded = __half22float2(high[d / 2]);
        low[d / 2] = __floats2half2_rn(x - rounded.x, y - rounded.y);
      }
      const int at = Tile::At(first + n, 2 * kWidth * LaneId());
      Store(to.high + at, high);
      Store(to.low + at, low);
    }
    return leaves_out;
  }

 private:
  __device__ static void Store(char* to, const __half2 (&x)[kWidth / 2]) {
    using Bits =
        std::conditional_t<kWidth == 2, uint32_t, std::conditional_t<kWidth == 4, uint2, uint4>>;
    static_assert(sizeof(Bits) == sizeof(x));
    *reinterpret_cast<Bits*>(to) = *reinterpret_cast<const Bits*>(x);
  }

  float values_[kCount][kWidth];
};

}  // namespace suffice::cuda
