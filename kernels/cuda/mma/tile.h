// SPDX-License-Identifier: Apache-2.0
// The mma form's steps over whole tiles. A warp holds 16 kM rows of a product in registers;
// operands lie in shared memory as rows of kDim bf16 and reach the tensor cores 16 x 16 at a time.
//
// Registers of mma.m16n8k16, lane = 4 g + t:
//   product      c[0], c[1]: row g, columns 2 t, 2 t + 1      c[2], c[3]: row g + 8
//   left (16x16) a[0]: row g, columns 2 t, 2 t + 1   a[1]: row g + 8   a[2], a[3]: columns + 8
//   right (16x8) b[0]: rows 2 t, 2 t + 1, column g   b[1]: rows + 8
// Two products of 8 columns side by side, rounded to bf16, are therefore a left operand as they
// stand: weights never leave the registers.
#pragma once

#include <cstdint>

#include "kernels/cuda/instructions.h"
#include "kernels/cuda/lists.h"
#include "lib/base/dtype.h"

namespace suffice::cuda::mma {

inline constexpr int kTokens = kListTile;  // of a tile of keys or queries
inline constexpr int kWarps = 4;
inline constexpr int kThreads = 32 * kWarps;

__device__ inline int Lane() { return static_cast<int>(threadIdx.x) % 32; }
__device__ inline int Warp() { return static_cast<int>(threadIdx.x) / 32; }
__device__ inline int RowInWarp(int m, int half) { return 16 * m + 8 * half + Lane() / 4; }
__device__ inline int Column(int n, int odd) { return 8 * n + 2 * (Lane() % 4) + odd; }

// ---- instructions ----

// LoadMatrices, of the transposes.
__device__ inline void LoadMatricesTransposed(uint32_t row, uint32_t (&x)[4]) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(x[0]), "=r"(x[1]), "=r"(x[2]), "=r"(x[3])
               : "r"(row)
               : "memory");
}

// c (16 x 8) += a (16 x 16) b (16 x 8)
__device__ inline void MultiplyAdd(const uint32_t (&a)[4], uint32_t b0, uint32_t b1,
                                   float (&c)[4]) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// For values that never leave the kernel; stored tensors use ToBFloat16.
__device__ inline uint32_t RoundPair(float low, float high) {
  uint32_t pair;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  return pair;
}

__device__ inline float Exp2(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

// ---- tiles ----

// Rows of kDim bf16 in shared memory, from a multiple of 256 bytes on. Piece c of row r, of 16
// bytes, lies at place c ^ (r % 8), so that the eight rows of a matrix lie in different banks.
// Pieces c and c + 2 i are therefore 32 i apart by an exclusive or, in every row: a lane finds all
// that it loads from one address.
template <int kDim>
struct Tile {
  static constexpr int kPieces = kDim / 8;
  static constexpr int Bytes(int rows) { return rows * kDim * 2; }
  uint32_t address;

  __device__ uint32_t At(int row, int piece) const {
    return address + static_cast<uint32_t>(row * kDim * 2 + (piece ^ (row % 8)) * 16);
  }
};

// Copies rows into a tile; those from `there` on (at least one is) become zeros and are not read.
template <int kRows, int kDim>
__device__ inline void CopyRows(const BFloat16* rows, int64_t stride, int there, Tile<kDim> to) {
  constexpr int kPieces = Tile<kDim>::kPieces;
  constexpr int kAtOnce = kThreads / kPieces;  // a multiple of 8: a thread's places are equally far
  const int first = static_cast<int>(threadIdx.x) / kPieces;
  const int piece = static_cast<int>(threadIdx.x) % kPieces;
  const BFloat16* from = rows + first * stride + piece * 8;
  uint32_t place = to.At(first, piece);
#pragma unroll 1  // eight addresses would cost the registers that products need
  for (int row = first; row < kRows; row += kAtOnce) {
    CopyAsync(place, row < there ? from : rows, row < there);
    from += kAtOnce * stride;
    place += kAtOnce * kDim * 2;
  }
}

// Rows [row, row + 16), columns [16 step, 16 step + 16) of a tile: as the left operand of a
// product; as two right operands side by side of a product with the transpose; and with the tile
// itself.
template <int kDim>
__device__ inline void LoadLeft(Tile<kDim> tile, int row, int step, uint32_t (&a)[4]) {
  const uint32_t lane = tile.At(Lane() % 16, Lane() / 16);
  LoadMatrices((lane ^ (32 * step)) + Tile<kDim>::Bytes(row), a);
}
template <int kDim>
__device__ inline void LoadRightTransposed(Tile<kDim> tile, int row, int step, uint32_t (&b)[4]) {
  const uint32_t lane = tile.At(Lane() % 8 + Lane() / 16 * 8, Lane() / 8 % 2);
  LoadMatrices((lane ^ (32 * step)) + Tile<kDim>::Bytes(row), b);
}
template <int kDim>
__device__ inline void LoadRight(Tile<kDim> tile, int row, int step, uint32_t (&b)[4]) {
  const uint32_t lane = tile.At(Lane() % 16, Lane() / 16);
  LoadMatricesTransposed((lane ^ (32 * step)) + Tile<kDim>::Bytes(row), b);
}

// A warp's scores of a tile of tokens.
template <int kM>
using Scores = float[kM][kTokens / 8][4];

// s += a b^T, given left(step, a): 16 columns of the 16 kM rows of a. What comes next is loaded
// before what is there is multiplied.
template <int kM, int kDim, class Left>
__device__ inline void AddDots(Left left, Tile<kDim> b, Scores<kM>& s) {
  constexpr int kColumns = kTokens / 16;
  uint32_t a[2][kM][4], right[2][4];
  left(0, a[0]);
  LoadRightTransposed(b, 0, 0, right[0]);
#pragma unroll
  for (int i = 0; i < kDim / 16 * kColumns; ++i) {
    const int step = i / kColumns, n = i % kColumns, next = i + 1;
    if (n == 0 && step + 1 < kDim / 16) left(step + 1, a[(step + 1) % 2]);
    if (next < kDim / 16 * kColumns) {
      LoadRightTransposed(b, 16 * (next % kColumns), next / kColumns, right[next % 2]);
    }
#pragma unroll
    for (int m = 0; m < kM; ++m) {
      MultiplyAdd(a[step % 2][m], right[i % 2][0], right[i % 2][1], s[m][2 * n]);
      MultiplyAdd(a[step % 2][m], right[i % 2][2], right[i % 2][3], s[m][2 * n + 1]);
    }
  }
}

// The same, a the rows from `row` of a tile.
template <int kM, int kDim>
__device__ inline void AddDots(Tile<kDim> a, int row, Tile<kDim> b, Scores<kM>& s) {
  const auto left = [&](int step, uint32_t(&to)[kM][4]) {
#pragma unroll
    for (int m = 0; m < kM; ++m) LoadLeft(a, row + 16 * m, step, to[m]);
  };
  AddDots(left, b, s);
}

// -inf for the keys that a query must not see.
template <int kM>
__device__ inline void Mask(const Scope& scope, int first_query, int first_key, Scores<kM>& s) {
#pragma unroll
  for (int m = 0; m < kM; ++m) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int last = LastKey(scope, first_query + RowInWarp(m, half)) - first_key;
#pragma unroll
      for (int n = 0; n < kTokens / 8; ++n) {
#pragma unroll
        for (int odd = 0; odd < 2; ++odd) {
          if (Column(n, odd) > last) s[m][n][2 * half + odd] = -INFINITY;
        }
      }
    }
  }
}

// sum += p b, p the weights of the tile's tokens, rounded to bf16.
template <int kM, int kDim>
__device__ inline void AddProduct(const Scores<kM>& p, Tile<kDim> b,
                                  float (&sum)[kM][kDim / 8][4]) {
  constexpr int kColumns = kDim / 16;
  uint32_t left[kM][4], right[2][4];
  LoadRight(b, 0, 0, right[0]);
#pragma unroll
  for (int i = 0; i < kTokens / 16 * kColumns; ++i) {
    const int step = i / kColumns, n = i % kColumns, next = i + 1;
    if (next < kTokens / 16 * kColumns) {
      LoadRight(b, 16 * (next / kColumns), next % kColumns, right[next % 2]);
    }
#pragma unroll
    for (int m = 0; m < kM; ++m) {
      if (n == 0) {
        left[m][0] = RoundPair(p[m][2 * step][0], p[m][2 * step][1]);
        left[m][1] = RoundPair(p[m][2 * step][2], p[m][2 * step][3]);
        left[m][2] = RoundPair(p[m][2 * step + 1][0], p[m][2 * step + 1][1]);
        left[m][3] = RoundPair(p[m][2 * step + 1][2], p[m][2 * step + 1][3]);
      }
      MultiplyAdd(left[m], right[i % 2][0], right[i % 2][1], sum[m][2 * n]);
      MultiplyAdd(left[m], right[i % 2][2], right[i % 2][3], sum[m][2 * n + 1]);
    }
  }
}

// Stores the first `there` of a warp's 16 kM rows, each value times its row's scale, in pieces of
// 16 bytes. They pass through rows of a tile, from `row` on, that only this warp still uses.
template <int kDim, int kM>
__device__ inline void StoreRows(const float (&sum)[kM][kDim / 8][4], const float (&scale)[kM][2],
                                 unsigned char* memory, int row, int there, BFloat16* to,
                                 int64_t stride) {
  const Tile<kDim> tile = {0};
  __syncwarp();
#pragma unroll
  for (int m = 0; m < kM; ++m) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
#pragma unroll
      for (int n = 0; n < kDim / 8; ++n) {
        const BFloat16 low = ToBFloat16(sum[m][n][2 * half] * scale[m][half]);
        const BFloat16 high = ToBFloat16(sum[m][n][2 * half + 1] * scale[m][half]);
        const uint32_t place = tile.At(row + RowInWarp(m, half), n) + 4 * (Lane() % 4);
        *reinterpret_cast<uint32_t*>(memory + place) = low.bits | uint32_t{high.bits} << 16;
      }
    }
  }
  __syncwarp();
  constexpr int kPieces = Tile<kDim>::kPieces;
  const int piece = Lane() % kPieces;
#pragma unroll
  for (int i = Lane() / kPieces; i < 16 * kM; i += 32 / kPieces) {
    if (i >= there) break;
    *reinterpret_cast<uint4*>(to + i * stride + piece * 8) =
        *reinterpret_cast<const uint4*>(memory + tile.At(row + i, piece));
  }
}

}  // namespace suffice::cuda::mma
