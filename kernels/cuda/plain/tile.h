// SPDX-License-Identifier: Apache-2.0
// The plain form's steps over whole tiles: 64 x 64 products of gathered rows in fp32, through
// shared memory. Rows may have any type, stride and dimension, and come from any tokens.
//
// A CTA is 16 x 16 threads. Thread (x, y) holds 4 x 4 values of each product: rows 4 y + i, columns
// 4 x + j. What is gathered passes through `operand`, as fp32 with zeros where there is nothing.
#pragma once

#include <cmath>
#include <type_traits>

#include "kernels/cuda/lists.h"

namespace suffice::cuda::plain {

inline constexpr int kTile = 64;   // tokens, and columns of D, of a tile
inline constexpr int kSlice = 32;  // of D, of two operands at a time
inline constexpr int kThreads = 256;
inline constexpr int kPitch = kTile + 4;  // keeps float4 aligned and spreads columns over the banks

struct Shared {
  float operand[2 * kSlice][kPitch];
  float weights[kTile][kPitch];  // transposed: [column][row]
  int rows[kTile];               // tokens of the tile's rows and columns; -1: none
  int columns[kTile];
};

// Rows of one head, picked by tokens in shared memory.
template <class T>
struct Gathered {
  const T* head;
  int64_t stride;
  const int* tokens;

  __device__ float At(int row, int d, int dim) const {
    const int token = tokens[row];
    return token >= 0 && d < dim ? ToFloat(head[token * stride + d]) : 0.0f;
  }
};

__device__ inline int ThreadX() { return static_cast<int>(threadIdx.x) % 16; }
__device__ inline int ThreadY() { return static_cast<int>(threadIdx.x) / 16; }

// Tokens [begin, end) of one block of one head, at most kTile: a CTA's own.
struct OwnTile {
  int head, block, begin, end;
};

inline __host__ __device__ int TilesPerBlock(int block) { return (block + kTile - 1) / kTile; }

__device__ inline OwnTile OwnTileOf(int block_size, int blocks, int length) {
  const int per_block = TilesPerBlock(block_size);
  const int tile = static_cast<int>(blockIdx.x) % (blocks * per_block);
  const int block = tile / per_block;
  const int begin = block * block_size + tile % per_block * kTile;
  return {static_cast<int>(blockIdx.x) / (blocks * per_block), block, begin,
          min(min(begin + kTile, (block + 1) * block_size), length)};
}

__device__ inline void PutTokens(const OwnTile& tile, int (&tokens)[kTile]) {
  __syncthreads();
  const int n = static_cast<int>(threadIdx.x);
  if (n < kTile) tokens[n] = tile.begin + n < tile.end ? tile.begin + n : -1;
  __syncthreads();
}

// The tokens of kept blocks stand side by side; takes the kTile of them from `first` on.
__device__ inline void PutTokens(const KeptBlocks& kept, int block_size, int length, int first,
                                 int (&tokens)[kTile]) {
  __syncthreads();
  const int n = static_cast<int>(threadIdx.x);
  if (n < kTile) {
    const int at = first + n;
    const bool kept_here = at < kept.count * block_size;
    const int token = kept_here ? kept[at / block_size] * block_size + at % block_size : -1;
    tokens[n] = token < length ? token : -1;
  }
  __syncthreads();
}

__device__ inline void AddOuter(const float* rows, const float* columns, float (&sum)[4][4]) {
  const float4 a = *reinterpret_cast<const float4*>(rows);
  const float4 b = *reinterpret_cast<const float4*>(columns);
  const float u[4] = {a.x, a.y, a.z, a.w};
  const float v[4] = {b.x, b.y, b.z, b.w};
#pragma unroll
  for (int i = 0; i < 4; ++i) {
#pragma unroll
    for (int j = 0; j < 4; ++j) sum[i][j] = fmaf(u[i], v[j], sum[i][j]);
  }
}

// Columns [d, d + kSlice) of all rows, transposed. Eight lanes share a row: their reads fill a
// sector, and the four rows of a warp's write lie in different banks.
template <class T>
__device__ void LoadTransposed(const Gathered<T>& x, int d, int dim, float (*to)[kPitch]) {
  const int first_row = static_cast<int>(threadIdx.x) / 8;
  const int column = static_cast<int>(threadIdx.x) % 8;
#pragma unroll
  for (int row = first_row; row < first_row + kTile; row += kThreads / 8) {
#pragma unroll
    for (int i = 0; i < kSlice; i += 8) to[column + i][row] = x.At(row, d + column + i, dim);
  }
}

// Columns [d, d + kTile) of all rows.
template <class T>
__device__ void Load(const Gathered<T>& x, int d, int dim, float (*to)[kPitch]) {
  const int first_row = static_cast<int>(threadIdx.x) / kTile;
  const int column = static_cast<int>(threadIdx.x) % kTile;
#pragma unroll 4
  for (int row = first_row; row < kTile; row += kThreads / kTile) {
    to[row][column] = x.At(row, d + column, dim);
  }
}

// sum += a b^T
template <class T>
__device__ void AddDots(const Gathered<T>& a, const Gathered<T>& b, int dim, Shared& shared,
                        float (&sum)[4][4]) {
  for (int d = 0; d < dim; d += kSlice) {
    __syncthreads();  // what was in `operand` has been used
    LoadTransposed(a, d, dim, shared.operand);
    LoadTransposed(b, d, dim, shared.operand + kSlice);
    __syncthreads();
#pragma unroll 8
    for (int i = 0; i < kSlice; ++i) {
      AddOuter(&shared.operand[i][4 * ThreadY()], &shared.operand[kSlice + i][4 * ThreadX()], sum);
    }
  }
}

// Hands a product over as the weights of the next.
__device__ inline void PutWeights(const float (&values)[4][4], Shared& shared) {
  __syncthreads();  // the last ones have been used
#pragma unroll
  for (int j = 0; j < 4; ++j) {
    *reinterpret_cast<float4*>(&shared.weights[4 * ThreadX() + j][4 * ThreadY()]) =
        make_float4(values[0][j], values[1][j], values[2][j], values[3][j]);
  }
}

// sum += weights b, D in chunks of kTile columns
template <int kChunks, class T>
__device__ void AddProduct(const Gathered<T>& b, int dim, Shared& shared,
                           float (&sum)[kChunks][4][4]) {
#pragma unroll
  for (int chunk = 0; chunk < kChunks; ++chunk) {
    if (chunk * kTile >= dim) continue;
    __syncthreads();  // `operand` has been used, and the weights are there
    Load(b, chunk * kTile, dim, shared.operand);
    __syncthreads();
#pragma unroll 8
    for (int i = 0; i < kTile; ++i) {
      AddOuter(&shared.weights[i][4 * ThreadY()], &shared.operand[i][4 * ThreadX()], sum[chunk]);
    }
  }
}

// Over the 16 threads that share rows: half a warp.
__device__ inline float MaxOverRow(float x) {
#pragma unroll
  for (int step = 1; step < 16; step *= 2) x = fmaxf(x, __shfl_xor_sync(~0u, x, step));
  return x;
}
__device__ inline float SumOverRow(float x) {
#pragma unroll
  for (int step = 1; step < 16; step *= 2) x += __shfl_xor_sync(~0u, x, step);
  return x;
}

// The softmax of rows whose scores come tile by tile. `sum` is this thread's part.
struct Softmax {
  float max[4] = {-INFINITY, -INFINITY, -INFINITY, -INFINITY};
  float sum[4] = {};

  // Scores become weights relative to the maximum so far; what was summed before is to be
  // multiplied by `before`.
  __device__ void Add(float (&s)[4][4], float (&before)[4]) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const float highest = fmaxf(fmaxf(s[i][0], s[i][1]), fmaxf(s[i][2], s[i][3]));
      const float now = fmaxf(max[i], MaxOverRow(highest));
      const float origin = now == -INFINITY ? 0.0f : now;  // no allowed key yet
      before[i] = expf(max[i] - origin);
      max[i] = now;
      sum[i] *= before[i];
#pragma unroll
      for (int j = 0; j < 4; ++j) sum[i] += s[i][j] = expf(s[i][j] - origin);
    }
  }
};

__device__ inline void Store(float x, float* to) { *to = x; }
__device__ inline void Store(float x, BFloat16* to) { *to = ToBFloat16(x); }

// The thread's values of one row of D columns, each multiplied by `scale`.
template <int kChunks, class T>
__device__ void StoreRow(const float (&sum)[kChunks][4][4], int i, float scale, int dim, T* row) {
#pragma unroll
  for (int chunk = 0; chunk < kChunks; ++chunk) {
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const int d = chunk * kTile + 4 * ThreadX() + j;
      if (d < dim) Store(sum[chunk][i][j] * scale, row + d);
    }
  }
}

// Calls f with as many chunks of kTile columns as hold D, as a constant.
template <class F>
void WithChunks(int64_t dim, F f) {
  if (dim <= kTile) return f(std::integral_constant<int, 1>());
  if (dim <= 2 * kTile) return f(std::integral_constant<int, 2>());
  f(std::integral_constant<int, 4>());
}

}  // namespace suffice::cuda::plain
