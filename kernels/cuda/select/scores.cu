// SPDX-License-Identifier: Apache-2.0
// Scores of pooled blocks in fp32, on tensor cores that multiply fp16.
//
// Rows of q and k come split into two fp16 numbers a value, high + low (split_rows.h), so that q k
// is high high + (high low + low high); low low is below what fp32 sums resolve. Tensor cores cut
// what they add to a sum: each sums 16 products, and the sums are added in rounded fp32.
//
// Rows that were left out of the split (infinities, NaN, beyond 2^60 either way) are summed one
// product after another in double.
#include <algorithm>

#include "kernels/cuda/instructions.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/select/scores.h"

namespace suffice::cuda {
namespace {

constexpr int kWarps = 4;  // two by two over a tile
constexpr int kThreads = 32 * kWarps;
constexpr int kDeepDim = 128;  // longer rows take smaller tiles

// One warp's share of a tile: kM x 16 query blocks, kN x 8 key blocks.
template <int kM, int kN>
struct Tile {
  static constexpr int kRows = 2 * 16 * kM;
  static constexpr int kColumns = 2 * 8 * kN;
};
// Small, for three CTAs a multiprocessor: much of what a tile costs is waiting, and other tiles'
// warps fill that.
using ShallowTile = Tile<2, 4>;
using DeepTile = Tile<2, 2>;
constexpr int kPlaces = 3;  // CTAs of a multiprocessor

// 16-byte pieces of a row are interchanged within eight, row by row, and no two rows that are read
// together meet in a bank.
__device__ inline int PieceAt(int row, int piece, int pitch) {
  return row * pitch * 2 + ((piece ^ (row & 7)) << 4);
}

// kRows split rows in shared memory.
struct SplitTile {
  char* high;
  char* low;
  float* unscale;
};

// Starts to copy `valid` rows, and clears as many as fill kRows.
template <int kRows>
__device__ void LoadTile(const SplitRows& from, int64_t first, int valid, const SplitTile& to) {
  const int pieces = from.pitch / 8;
  for (int i = static_cast<int>(threadIdx.x); i < kRows * pieces; i += kThreads) {
    const int row = i / pieces, piece = i - row * pieces;
    const bool there = row < valid;
    const int64_t at = (first + (there ? row : 0)) * from.pitch + 8 * piece;
    const int place = PieceAt(row, piece, from.pitch);
    CopyAsync(SharedAddress(to.high + place), from.high + at, there);
    CopyAsync(SharedAddress(to.low + place), from.low + at, there);
  }
  for (int row = static_cast<int>(threadIdx.x); row < kRows; row += kThreads) {
    to.unscale[row] = row < valid ? from.unscale[first + row] : 1.0f;
  }
}

__device__ inline void Multiply(float (&product)[4], const uint32_t (&a)[4], uint32_t b0,
                                uint32_t b1) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%10, %10, %10, %10};"
      : "=f"(product[0]), "=f"(product[1]), "=f"(product[2]), "=f"(product[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1), "f"(0.0f));
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
template <int kM, int kN>
__global__ void __launch_bounds__(kThreads, kPlaces)
    Scores(const __grid_constant__ ScoreArgs a, int first_tile, int run, bool pairs) {
  using Shape = Tile<kM, kN>;
  extern __shared__ __align__(128) char shared[];
  const SelectGeometry& g = a.geometry;
  const int pitch = a.q_split.pitch;
  const int q_bytes = Shape::kRows * pitch * 2, k_bytes = Shape::kColumns * pitch * 2;
  float* const unscales = reinterpret_cast<float*>(shared + 2 * (q_bytes + k_bytes));
  const SplitTile q = {shared, shared + q_bytes, unscales};
  const SplitTile k = {shared + 2 * q_bytes, shared + 2 * q_bytes + k_bytes,
                       unscales + Shape::kRows};

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
  LoadTile<Shape::kRows>(a.q_split, int64_t{head} * g.t_q + first_row, rows, q);
  const int64_t first_key = (int64_t{b} * (a.heads / a.group) + h / a.group) * g.t_k;

  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int warp_row = warp / 2 * (16 * kM), warp_column = warp % 2 * (8 * kN);
  // The row and piece whose address this lane gives to ldmatrix: rows then pieces for q, pieces
  // then rows for k.
  const int q_row = warp_row + lane % 16, q_piece = lane / 16;
  const int k_row = warp_column + lane / 16 * 8 + lane % 8, k_piece = lane / 8 % 2;

  for (int first_column = begin; first_column < end; first_column += Shape::kColumns) {
    __syncthreads();  // the last tile has been read
    LoadTile<Shape::kColumns>(a.k_split, first_key + first_column,
                              min(Shape::kColumns, g.t_k - first_column), k);
    CommitCopies();
    WaitForCopies<0>();
    __syncthreads();
    bool leaves_out = false;
    for (int i = static_cast<int>(threadIdx.x); i < Shape::kRows + Shape::kColumns; i += kThreads) {
      leaves_out = leaves_out || unscales[i] == 0.0f;
    }
    leaves_out = __syncthreads_or(leaves_out) != 0;
    float sums[kM][kN][4] = {};
    for (int piece = 0; piece < (a.dim + 15) / 16 * 2; piece += 2) {
      uint32_t q_high[kM][4], q_low[kM][4];
#pragma unroll
      for (int m = 0; m < kM; ++m) {
        const int at = PieceAt(q_row + 16 * m, piece + q_piece, pitch);
        LoadMatrices(SharedAddress(q.high + at), q_high[m]);
        LoadMatrices(SharedAddress(q.low + at), q_low[m]);
      }
#pragma unroll
      for (int n = 0; n < kN; n += 2) {
        uint32_t k_high[4], k_low[4];
        const int at = PieceAt(k_row + 8 * n, piece + k_piece, pitch);
        LoadMatrices(SharedAddress(k.high + at), k_high);
        LoadMatrices(SharedAddress(k.low + at), k_low);
        float parts[2 * kM][4];
#pragma unroll
        for (int t = 0; t < 2 * kM; ++t) {
          Multiply(parts[t], q_high[t / 2], k_low[t % 2 * 2], k_low[t % 2 * 2 + 1]);
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
        const float factor = q_unscale * a.scale;
        float* out = a.out.At(b, h, first_row + row) + first_column;
#pragma unroll
        for (int n = 0; n < kN; ++n) {
          const int column = warp_column + 8 * n + lane % 4 * 2;
          float score[2];
#pragma unroll
          for (int o = 0; o < 2; ++o) {
            const float k_unscale = k.unscale[column + o];
            score[o] = sums[m][n][2 * half + o] * k_unscale * factor;
            if (leaves_out && q_unscale * k_unscale == 0.0f && first_column + column + o < end) {
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

template <int kM, int kN>
void Launch(const ScoreArgs& a, int first, int end, int multiprocessors, cudaStream_t stream) {
  using Shape = Tile<kM, kN>;
  const int bytes =
      (Shape::kRows + Shape::kColumns) * (a.q_split.pitch * 4 + static_cast<int>(sizeof(float)));
  const auto kernel = &Scores<kM, kN>;
  Check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes),
        "select: scores");
  const int key_tiles = (a.geometry.t_k + Shape::kColumns - 1) / Shape::kColumns;
  const int run = RunLength(end - first, key_tiles, kPlaces * multiprocessors);
  const bool pairs = reinterpret_cast<uintptr_t>(a.out.data) % 8 == 0 && a.out.batch % 2 == 0 &&
                     a.out.head % 2 == 0 && a.out.row % 2 == 0;
  const dim3 grid(static_cast<unsigned>(end - first),
                  static_cast<unsigned>((key_tiles + run - 1) / run));
  kernel<<<grid, kThreads, static_cast<size_t>(bytes), stream>>>(a, first, run, pairs);
  CheckLaunch("select: scores");
}

}  // namespace

int ScoreTileRows(int dim) { return dim <= kDeepDim ? ShallowTile::kRows : DeepTile::kRows; }

void LaunchScores(const ScoreArgs& args, int first, int end, int multiprocessors,
                  cudaStream_t stream) {
  if (args.dim <= kDeepDim) {
    Launch<2, 4>(args, first, end, multiprocessors, stream);
  } else {
    Launch<2, 2>(args, first, end, multiprocessors, stream);
  }
}

}  // namespace suffice::cuda
