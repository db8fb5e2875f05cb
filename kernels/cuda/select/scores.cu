// SPDX-License-Identifier: Apache-2.0
// Scores of pooled blocks in fp32, on tensor cores that multiply fp16.
//
// A row of q or k is scaled by a power of two so that its largest value lies in [2^8, 2^9), and
// each value is split into two fp16 numbers, high + low: 22 bits of it, and never less than 33 bits
// below the row's largest. q k is then high high + (high low + low high); low low is below what
// fp32 sums resolve. The small products have sums of their own: tensor cores cut what they add to a
// sum, and so the large sum is cut a third as often.
//
// Rows that hold infinities or NaN, or lie beyond 2^60 either way, do not take part: their scores
// are summed one by one in double.
#include <cuda_fp16.h>

#include <algorithm>

#include "kernels/cuda/launch.h"
#include "kernels/cuda/select/scores.h"
#include "kernels/cuda/vector16.h"

namespace suffice::cuda {
namespace {

constexpr int kWarps = 4;  // two by two over a tile
constexpr int kThreads = 32 * kWarps;
constexpr int kDeepDim = 128;  // longer rows take smaller tiles
constexpr unsigned kAllLanes = 0xFFFFFFFFu;

// One warp's share of a tile: kM x 16 query blocks, kN x 8 key blocks.
template <int kM, int kN>
struct Tile {
  static constexpr int kRows = 2 * 16 * kM;
  static constexpr int kColumns = 2 * 8 * kN;
};
// Small, for three and four CTAs a multiprocessor: what a tile costs is waiting, for its loads, for
// its conversions, for its products, and other tiles' warps fill that.
using ShallowTile = Tile<2, 4>;
using DeepTile = Tile<2, 2>;
constexpr int kPlaces = 3;  // CTAs of a multiprocessor

// Values of a row in shared memory: whole groups of 64, so that 16-byte pieces can be interchanged
// within eight, row by row, and no two rows that are read together meet in a bank.
__host__ __device__ inline int PitchOf(int dim) { return (dim + 63) / 64 * 64; }
__device__ inline int PieceAt(int row, int piece, int pitch) {
  return row * pitch * 2 + ((piece ^ (row & 7)) << 4);
}

// Split rows: two planes of fp16, and what undoes each row's scaling; 0 for a row left out.
struct SplitRows {
  char* high;
  char* low;
  float* unscale;
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

__device__ inline void StoreSplit(const SplitRows& to, int at, float4 x) {
  const __half2 high[2] = {__floats2half2_rn(x.x, x.y), __floats2half2_rn(x.z, x.w)};
  const float2 a = __half22float2(high[0]), b = __half22float2(high[1]);
  const __half2 low[2] = {__floats2half2_rn(x.x - a.x, x.y - a.y),
                          __floats2half2_rn(x.z - b.x, x.w - b.y)};
  *reinterpret_cast<uint2*>(to.high + at) = *reinterpret_cast<const uint2*>(high);
  *reinterpret_cast<uint2*>(to.low + at) = *reinterpret_cast<const uint2*>(low);
}

// Splits `valid` rows of x and as many rows of zeros as fill kRows; a warp a row. kParts: how many
// times 128 values a row holds at most.
template <int kRows, int kParts>
__device__ void LoadSplit(const float* x, int64_t stride, int valid, int dim, bool aligned,
                          const SplitRows& to) {
  constexpr int kBatch = 16 / kParts;  // rows under way
  static_assert(kRows % (kWarps * kBatch) == 0);
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int pitch = PitchOf(dim);
  for (int first = warp; first < kRows; first += kWarps * kBatch) {
    float4 values[kBatch][kParts];
#pragma unroll
    for (int n = 0; n < kBatch; ++n) {
      const int row = first + n * kWarps;
#pragma unroll
      for (int part = 0; part < kParts; ++part) {
        const int column = 128 * part + 4 * lane;
        float4 v = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
        const float* from = x + row * stride + column;
        if (row < valid && aligned && column < dim) {
          v = __ldg(reinterpret_cast<const float4*>(from));
        } else if (row < valid && !aligned) {
          if (column < dim) v.x = __ldg(from);
          if (column + 1 < dim) v.y = __ldg(from + 1);
          if (column + 2 < dim) v.z = __ldg(from + 2);
          if (column + 3 < dim) v.w = __ldg(from + 3);
        }
        values[n][part] = v;
      }
    }
#pragma unroll
    for (int n = 0; n < kBatch; ++n) {
      const int row = first + n * kWarps;
      uint32_t largest = 0;
#pragma unroll
      for (int part = 0; part < kParts; ++part) {
        const float4 v = values[n][part];
        for (const float value : {v.x, v.y, v.z, v.w}) {
          largest = max(largest, __float_as_uint(value) & 0x7FFFFFFFu);
        }
      }
      const Scaling s = ScalingOf(__reduce_max_sync(kAllLanes, largest));
      if (lane == 0) to.unscale[row] = s.unscale;
#pragma unroll
      for (int part = 0; part < kParts; ++part) {
        const int column = 128 * part + 4 * lane;
        if (column >= pitch) continue;
        float4 v = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
        if (s.unscale != 0.0f) {
          const float4 u = values[n][part];
          v = make_float4(u.x * s.scale, u.y * s.scale, u.z * s.scale, u.w * s.scale);
        }
        StoreSplit(to, PieceAt(row, column / 8, pitch) + (lane & 1) * 8, v);
      }
    }
  }
}

__device__ inline void LoadMatrices(uint32_t (&to)[4], const char* from) {
  const auto address = static_cast<uint32_t>(__cvta_generic_to_shared(from));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "r"(address)
               : "memory");
}

__device__ inline void MultiplyAdd(float (&sum)[4], const uint32_t (&a)[4], uint32_t b0,
                                   uint32_t b1) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%0, %1, %2, %3};"
      : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// The score of a row that was left out.
__device__ __noinline__ float PlainScore(const float* q, const float* k, int dim, float scale) {
  double sum = 0.0;
  for (int d = 0; d < dim; ++d) sum += double{q[d]} * double{k[d]};
  return static_cast<float>(double{scale} * sum);
}

// Grid: x over query tiles, y over runs of `run` key tiles.
template <int kM, int kN, int kParts>
__global__ void __launch_bounds__(kThreads, kParts == 1 ? kPlaces : 2)
    Scores(ScoreArgs a, int first_tile, int run, bool aligned, bool pairs) {
  using Shape = Tile<kM, kN>;
  extern __shared__ __align__(128) char shared[];
  const SelectGeometry& g = a.geometry;
  const int pitch = PitchOf(a.dim);
  const SplitRows q = {
      shared, shared + Shape::kRows * pitch * 2,
      reinterpret_cast<float*>(shared + (Shape::kRows + Shape::kColumns) * pitch * 4)};
  const SplitRows k = {shared + Shape::kRows * pitch * 4,
                       shared + Shape::kRows * pitch * 4 + Shape::kColumns * pitch * 2,
                       q.unscale + Shape::kRows};

  const int tiles = (g.t_q + Shape::kRows - 1) / Shape::kRows;
  const int tile = first_tile + static_cast<int>(blockIdx.x);
  const int head = tile / tiles;
  const int first_row = (tile - head * tiles) * Shape::kRows;
  const int b = head / a.heads, h = head - b * a.heads;
  const int rows = min(Shape::kRows, g.t_q - first_row);
  const int columns = g.AllowedBlocks(first_row + rows - 1);
  const float* q_rows = a.q.At(b, h, first_row);
  const float* k_rows = a.k.At(b, h / a.group, 0);
  const int begin = static_cast<int>(blockIdx.y) * run * Shape::kColumns;
  const int end = min(columns, begin + run * Shape::kColumns);
  if (begin >= end) return;
  LoadSplit<Shape::kRows, kParts>(q_rows, a.q.row, rows, a.dim, aligned, q);

  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int warp_row = warp / 2 * (16 * kM), warp_column = warp % 2 * (8 * kN);
  // The row and piece whose address this lane gives to ldmatrix: rows then pieces for q, pieces
  // then rows for k.
  const int q_row = warp_row + lane % 16, q_piece = lane / 16;
  const int k_row = warp_column + lane / 16 * 8 + lane % 8, k_piece = lane / 8 % 2;

  for (int first_column = begin; first_column < end; first_column += Shape::kColumns) {
    __syncthreads();  // the last tile has been read
    LoadSplit<Shape::kColumns, kParts>(k_rows + first_column * a.k.row, a.k.row,
                                       min(Shape::kColumns, g.t_k - first_column), a.dim, aligned,
                                       k);
    __syncthreads();
    float sums[kM][kN][4] = {};
    for (int piece = 0; piece < (a.dim + 15) / 16 * 2; piece += 2) {
      uint32_t q_high[kM][4], q_low[kM][4];
#pragma unroll
      for (int m = 0; m < kM; ++m) {
        const int at = PieceAt(q_row + 16 * m, piece + q_piece, pitch);
        LoadMatrices(q_high[m], q.high + at);
        LoadMatrices(q_low[m], q.low + at);
      }
#pragma unroll
      for (int n = 0; n < kN; n += 2) {
        uint32_t k_high[4], k_low[4];
        const int at = PieceAt(k_row + 8 * n, piece + k_piece, pitch);
        LoadMatrices(k_high, k.high + at);
        LoadMatrices(k_low, k.low + at);
        float parts[2 * kM][4] = {};
#pragma unroll
        for (int t = 0; t < 2 * kM; ++t) {
          MultiplyAdd(parts[t], q_high[t / 2], k_low[t % 2 * 2], k_low[t % 2 * 2 + 1]);
        }
#pragma unroll
        for (int t = 0; t < 2 * kM; ++t) {
          MultiplyAdd(parts[t], q_low[t / 2], k_high[t % 2 * 2], k_high[t % 2 * 2 + 1]);
        }
#pragma unroll
        for (int t = 0; t < 2 * kM; ++t) {
          MultiplyAdd(parts[t], q_high[t / 2], k_high[t % 2 * 2], k_high[t % 2 * 2 + 1]);
        }
#pragma unroll
        for (int t = 0; t < 2 * kM; ++t) {
#pragma unroll
          for (int c = 0; c < 4; ++c) sums[t / 2][n + t % 2][c] += parts[t][c];
        }
      }
    }
#pragma unroll
    for (int m = 0; m < kM; ++m) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int row = warp_row + 16 * m + 8 * half + lane / 4;
        if (row >= rows) continue;
        const float q_unscale = q.unscale[row];
        float* out = a.out.At(b, h, first_row + row) + first_column;
#pragma unroll
        for (int n = 0; n < kN; ++n) {
          const int column = warp_column + 8 * n + lane % 4 * 2;
          float score[2];
#pragma unroll
          for (int o = 0; o < 2; ++o) {
            const float k_unscale = k.unscale[column + o];
            score[o] = sums[m][n][2 * half + o] * q_unscale * k_unscale * a.scale;
            if (q_unscale * k_unscale == 0.0f && first_column + column + o < end) {
              score[o] = PlainScore(q_rows + row * a.q.row,
                                    k_rows + (first_column + column + o) * a.k.row, a.dim, a.scale);
            }
          }
          if (pairs && first_column + column + 1 < end) {
            *reinterpret_cast<float2*>(out + column) = make_float2(score[0], score[1]);
          } else {
            if (first_column + column < end) out[column] = score[0];
            if (first_column + column + 1 < end) out[column + 1] = score[1];
          }
        }
      }
    }
  }
}

// Key tiles of one CTA: as few as fill the device evenly; a CTA costs about one more, for its q.
int RunLength(int query_tiles, int key_tiles, int places) {
  int best = 1;
  int64_t least = INT64_MAX;
  for (int run = 1; run <= key_tiles; ++run) {
    const int64_t ctas = int64_t{query_tiles} * ((key_tiles + run - 1) / run);
    const int64_t cost = (ctas + places - 1) / places * (run + 1);
    if (cost < least) {
      least = cost;
      best = run;
    }
  }
  return best;
}

template <int kM, int kN, int kParts>
void Launch(const ScoreArgs& a, int first, int end, int multiprocessors, cudaStream_t stream) {
  using Shape = Tile<kM, kN>;
  const int bytes =
      (Shape::kRows + Shape::kColumns) * (PitchOf(a.dim) * 4 + static_cast<int>(sizeof(float)));
  const auto kernel = &Scores<kM, kN, kParts>;
  Check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes),
        "select: scores");
  const int key_tiles = (a.geometry.t_k + Shape::kColumns - 1) / Shape::kColumns;
  const int run = RunLength(end - first, key_tiles, (kParts == 1 ? kPlaces : 2) * multiprocessors);
  const bool aligned = a.dim % 4 == 0 &&
                       Aligned16<float>(a.q.data, {a.q.batch, a.q.head, a.q.row}) &&
                       Aligned16<float>(a.k.data, {a.k.batch, a.k.head, a.k.row});
  const bool pairs = reinterpret_cast<uintptr_t>(a.out.data) % 8 == 0 && a.out.batch % 2 == 0 &&
                     a.out.head % 2 == 0 && a.out.row % 2 == 0;
  const dim3 grid(static_cast<unsigned>(end - first),
                  static_cast<unsigned>((key_tiles + run - 1) / run));
  kernel<<<grid, kThreads, static_cast<size_t>(bytes), stream>>>(a, first, run, aligned, pairs);
  CheckLaunch("select: scores");
}

}  // namespace

int ScoreTileRows(int dim) { return dim <= kDeepDim ? ShallowTile::kRows : DeepTile::kRows; }

void LaunchScores(const ScoreArgs& args, int first, int end, int multiprocessors,
                  cudaStream_t stream) {
  if (args.dim <= kDeepDim) {
    Launch<2, 4, 1>(args, first, end, multiprocessors, stream);
  } else {
    Launch<2, 2, 2>(args, first, end, multiprocessors, stream);
  }
}

}  // namespace suffice::cuda
