// SPDX-License-Identifier: Apache-2.0
// Whole tiles between global memory, shared memory and registers: what the attention kernels share.
// A tile of rows x D bf16 lies as [D / 64][rows][64] in the copy engine's swizzle, at a multiple of
// 1024 bytes.
#pragma once

#include "kernels/cuda/hopper/schedule.h"
#include "kernels/cuda/hopper/tensor_map.h"
#include "kernels/cuda/hopper/wgmma.h"
#include "lib/base/dtype.h"

namespace suffice::cuda::hopper {

inline constexpr int kWarpgroup = 128;  // threads
inline constexpr int kNoKey = 1 << 30;  // the place of keys that no query sees

// A row of a schedule: (b, h, block).
struct Place {
  int batch, head, block;
};
__device__ __forceinline__ Place PlaceOf(int row, int heads, int blocks) {
  const int sequence = row / blocks;
  return {sequence / heads, sequence % heads, row % blocks};
}

// The first key that a query does not see.
__device__ __forceinline__ int KeyLimit(const ListSet& lists, int query) {
  return lists.causal ? min(lists.n_k, query + lists.n_k - lists.n_q + 1) : lists.n_k;
}

// What a warpgroup has read may be overwritten. Every thread arrives for itself: one lane could do
// it for its warp, about 1 % faster, but not in a form that racecheck follows.
__device__ __forceinline__ void Release(Barrier& empty) { Arrive(empty); }

// Rows [token, token + rows of the map's box) of a tensor to rows of a tile of kTileRows.
template <int kDim, int kTileRows>
__device__ __forceinline__ void LoadRows(const CUtensorMap& map, BFloat16* to, Barrier& full,
                                         int token, int head, int batch) {
#pragma unroll
  for (int d = 0; d < kDim / kBoxColumns; ++d) {
    LoadBox(map, to + d * kTileRows * kBoxColumns, full, d * kBoxColumns, token, head, batch);
  }
}

// A warpgroup's 64 x kDim accumulators, rounded, to a tile of 64 rows. The copy engine may read it
// after FenceForAsync and a barrier.
template <int kDim>
__device__ __forceinline__ void WriteTile(const Accumulator<kDim>& values, BFloat16* tile,
                                          int thread) {
  const int lane = thread % 32;
  const int matrix = lane / 8;
  const int row = thread / 32 * 16 + matrix % 2 * 8 + lane % 8;
#pragma unroll
  for (int j = 0; j < kDim / 8; j += 2) {
    const int column = j + matrix / 2;  // of 8 values
    BFloat16* const at = tile + column / 8 * kGroupRows * kBoxColumns + row * kBoxColumns +
                         ((column % 8) ^ (row % 8)) * 8;
    const float* x = &values.x[4 * j];
    StoreMatrices(at, Pair(x[0], x[1]), Pair(x[2], x[3]), Pair(x[4], x[5]), Pair(x[6], x[7]));
  }
}

// A tile of 64 rows to rows of a tensor; those beyond it are left out.
template <int kDim>
__device__ __forceinline__ void StoreRows(const CUtensorMap& map, const BFloat16* tile, int token,
                                          int head, int batch) {
#pragma unroll
  for (int d = 0; d < kDim / kBoxColumns; ++d) {
    StoreBox(map, tile + d * kGroupRows * kBoxColumns, d * kBoxColumns, token, head, batch);
  }
}

// A warpgroup's 64 x kColumns as the A operand of the next product.
template <int kColumns>
__device__ __forceinline__ void ToFragments(const Accumulator<kColumns>& s,
                                            Fragments<kColumns>& p) {
#pragma unroll
  for (int i = 0; i < kColumns / 16; ++i) {
#pragma unroll
    for (int j = 0; j < 4; ++j) p.x[i][j] = Pair(s.x[8 * i + 2 * j], s.x[8 * i + 2 * j + 1]);
  }
}

// C = A B^T over D, started: A 64 rows of a tile of kARows, B a tile of kBRows, both K-major.
template <int kDim, int kARows, int kBRows>
__device__ __forceinline__ void StartAcross(Accumulator<kBRows>& c, const BFloat16* a,
                                            const BFloat16* b) {
#pragma unroll
  for (int d = 0; d < kDim / kBoxColumns; ++d) {
    const uint64_t a_tile = KMajor(a + d * kARows * kBoxColumns);
    const uint64_t b_tile = KMajor(b + d * kBRows * kBoxColumns);
#pragma unroll
    for (int i = 0; i < kBoxColumns / 16; ++i) {
      Multiply<0, 0>(c, a_tile + i * kKMajorStep, b_tile + i * kKMajorStep, d + i > 0);
    }
  }
}

// C += P B, started: P in registers, B a tile of kRows rows of D. `add`: false overwrites C.
template <int kDim, int kRows>
__device__ __forceinline__ void StartAlong(Accumulator<kDim>& c, const Fragments<kRows>& p,
                                           const BFloat16* b, bool add) {
  const uint64_t tile = MnMajor(b, kRows * kRowBytes);
#pragma unroll
  for (int i = 0; i < kRows / 16; ++i) {
    Multiply<1>(c, p.x[i], tile + i * kMnMajorStep, add || i > 0);
  }
}

// Whether this warpgroup's chunk was the last of its row to finish. What all of them wrote to their
// slots is then visible. `arrived` is shared memory of the warpgroup.
__device__ __forceinline__ bool IsLastChunk(SplitRow& split, int group, int thread, int& arrived,
                                            int barrier) {
  __threadfence();
  SyncNamed(barrier, kWarpgroup);
  if (thread == 0) arrived = atomicAdd(&split.arrived[group], 1);
  SyncNamed(barrier, kWarpgroup);
  const bool last = arrived == split.chunks - 1;
  if (last) __threadfence();
  return last;
}

// This thread's values of a 64 x kDim accumulator, as fp32 rows.
template <int kDim>
__device__ __forceinline__ void StorePart(const Accumulator<kDim>& values, float* rows,
                                          int thread) {
  const int first = thread / 32 * 16 + thread % 32 / 4;
#pragma unroll
  for (int j = 0; j < kDim / 8; ++j) {
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      float2* to =
          reinterpret_cast<float2*>(rows + (first + 8 * r) * kDim + 8 * j + thread % 4 * 2);
      *to = {values.x[4 * j + 2 * r], values.x[4 * j + 2 * r + 1]};
    }
  }
}

// The sum of `count` rows of fp32, `stride` apart, to a row of bf16: half of it, every other pair.
template <int kDim>
__device__ __forceinline__ void StoreSum(const float* rows, int64_t stride, int count, int half,
                                         BFloat16* to) {
  for (int d = 2 * half; d < kDim; d += 4) {
    float2 sum = {0.0f, 0.0f};
    for (int i = 0; i < count; ++i) {
      const float2 part = __ldcg(reinterpret_cast<const float2*>(rows + i * stride + d));
      sum.x += part.x;
      sum.y += part.y;
    }
    *reinterpret_cast<uint32_t*>(to + d) = Pair(sum.x, sum.y);
  }
}

}  // namespace suffice::cuda::hopper
