// SPDX-License-Identifier: Apache-2.0
// Rows of fp32 for tensor cores that multiply fp16. A row is scaled by a power of two so that its
// largest value lies in [2^8, 2^9), and each value is split into two fp16 numbers, high + low: 22
// bits of it, and never less than 33 bits below the row's largest. Rows that hold infinities or
// NaN, or whose largest value is not in [2^-60, 2^61), are left out.
//
// Rows are split on their way into tiles in shared memory: as fp32 they are as many bytes, and are
// read no more often than two halves of them would be. Until then they are in flight to registers
// (RowsInFlight) or to shared memory (RowsAside).
#pragma once

#include <cuda_fp16.h>

#include <algorithm>
#include <cstdint>

#include "kernels/cuda/instructions.h"
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

// One row, by one warp: each lane has kWidth neighbouring values. Splits it into row `row` of the
// tile; true if it is left out. A Tile is SplitTile or has other places for the same, At(row,
// byte).
template <int kWidth, class Tile>
__device__ bool SplitRow(const float (&x)[kWidth], const Tile& to, int row) {
  uint32_t largest = 0;
#pragma unroll
  for (int d = 0; d < kWidth; ++d) largest = max(largest, __float_as_uint(x[d]) & 0x7FFFFFFFu);
  const Scaling s = ScalingOf(__reduce_max_sync(kAllLanes, largest));
  if (LaneId() == 0) to.unscale[row] = s.unscale;
  __half2 high[kWidth / 2], low[kWidth / 2];
#pragma unroll
  for (int d = 0; d < kWidth; d += 2) {
    const float first = x[d] * s.scale, second = x[d + 1] * s.scale;
    high[d / 2] = __floats2half2_rn(first, second);
    const float2 rounded = __half22float2(high[d / 2]);
    low[d / 2] = __floats2half2_rn(first - rounded.x, second - rounded.y);
  }
  using Bits =
      std::conditional_t<kWidth == 2, uint32_t, std::conditional_t<kWidth == 4, uint2, uint4>>;
  static_assert(sizeof(Bits) == sizeof(high));
  const int at = Tile::At(row, 2 * kWidth * LaneId());
  *reinterpret_cast<Bits*>(to.high + at) = *reinterpret_cast<const Bits*>(high);
  *reinterpret_cast<Bits*>(to.low + at) = *reinterpret_cast<const Bits*>(low);
  return s.unscale == 0.0f;  // zeros and NaN in the tile
}

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

  // Splits them into rows of the tile from `first` on; true if one is left out.
  template <class Tile>
  __device__ bool Split(const Tile& to, int first) const {
    bool leaves_out = false;
#pragma unroll
    for (int n = 0; n < kCount; ++n) {
      leaves_out = SplitRow(values_[n], to, first + n) || leaves_out;
    }
    return leaves_out;
  }

 private:
  float values_[kCount][kWidth];
};

// The same by way of shared memory, where rows in flight cost no registers: `memory` is kBytes of
// the warp's own. Each lane reads back what it brought in itself, so that no barrier is needed.
template <int kDim, int kCount>
class RowsAside {
 public:
  static constexpr int kWidth = kDim / 32;
  static constexpr int kBytes = kCount * kDim * static_cast<int>(sizeof(float));
  using Piece = std::conditional_t<kWidth == 2, float2, float4>;
  static_assert(sizeof(Piece) == kWidth * sizeof(float));

  __device__ explicit RowsAside(char* memory)
      : mine_(reinterpret_cast<Piece*>(memory) + LaneId()) {}

  __device__ void Load(const RowSource& from, int first, int end) {
    const int column = kWidth * LaneId();
    const float* row = from.first + first * from.stride + column;
    const auto to = SharedAddress(mine_);
#pragma unroll
    for (int n = 0; n < kCount; ++n, row += from.stride) {
      const uint32_t at = to + 32 * n * sizeof(Piece);
      const int there = first + n < end ? from.dim - column : 0;  // values from this lane's on
      if (from.wide) {
        CopyAsync<sizeof(Piece)>(at, row, there > 0);
      } else {
#pragma unroll
        for (int d = 0; d < kWidth; ++d) CopyAsync<4>(at + 4 * d, row + d, there > d);
      }
    }
    CommitCopies();
  }

  template <class Tile>
  __device__ bool Split(const Tile& to, int first) const {
    WaitForCopies<0>();
    bool leaves_out = false;
#pragma unroll
    for (int n = 0; n < kCount; ++n) {
      const Piece piece = mine_[32 * n];
      leaves_out =
          SplitRow(reinterpret_cast<const float(&)[kWidth]>(piece), to, first + n) || leaves_out;
    }
    return leaves_out;
  }

 private:
  Piece* mine_;
};

}  // namespace suffice::cuda
