// SPDX-License-Identifier: Apache-2.0
// Scores of pooled blocks in fp32, on tensor cores that multiply fp16.
//
// Rows of q and k are split into two fp16 numbers a value, high + low (split_rows.h), so that q k
// is high high + (high low + low high); low low is below what fp32 sums resolve. Tensor cores cut
// what they add to a sum: they sum 128 products at most, and those sums are added in rounded fp32.
//
// A CTA has a run of tiles, key tile after key tile of one query tile after another: it keeps the
// query tile, and the next keys are on their way while it multiplies. What else it waits for, the
// splitting and the stores, is hidden by the other CTAs of a multiprocessor.
//
// Rows that were left out of the split (infinities, NaN, beyond 2^60 either way) are summed one
// product after another in double.
#include <algorithm>

#include "kernels/cuda/instructions.h"
#include "kernels/cuda/launch_next.h"
#include "kernels/cuda/select/scores.h"
#include "kernels/cuda/select/split_rows.h"
#include "kernels/cuda/vector16.h"

namespace suffice::cuda {
namespace {

// Warps are kDown by two over a tile, each with 32 query blocks and kEights x 8 key blocks.
// kPlaces: CTAs that fit a Hopper multiprocessor. One fits 99 KB, which every GPU has. kBatch: rows
// of the query tile that a warp reads at once, as registers allow.
template <int kDimOfShape, int kDown, int kEightsOfShape, int kPlacesOfShape, int kBatchOfShape>
struct Shape {
  static constexpr int kDim = kDimOfShape, kPlaces = kPlacesOfShape, kBatch = kBatchOfShape;
  static constexpr int kSixteens = 2, kEights = kEightsOfShape;
  static constexpr int kWarps = 2 * kDown, kThreads = 32 * kWarps;
  static constexpr int kRows = kDown * 16 * kSixteens, kColumns = 2 * 8 * kEights;
  static constexpr int kBytes = (kRows + kColumns) * (4 * kDim + static_cast<int>(sizeof(float)));
  static_assert(kBytes <= 99 * 1024);
};
constexpr int kShortDim = 64, kDeepDim = 128;  // dimensions up to these
template <int kDim>
using LargeShape = Shape<kDim, 4, 4, 2, 8>;
template <int kDim>
using SmallShape = Shape<kDim, 2, 4, 3, 16>;
using DeepShape = Shape<256, 2, 2, 2, 8>;
constexpr int kFewTiles = 512;  // large ones: not enough of them to keep every multiprocessor busy

__device__ inline void MultiplyAdd(float (&sum)[4], const uint32_t (&a)[4], uint32_t b0,
                                   uint32_t b1) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%0, %1, %2, %3};"
      : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// Bytes of a row that tensor cores sum.
template <class S>
constexpr int kSummedBytes = 2 * std::min(S::kDim, 128);

// One warp's products of row bytes [begin, begin + kSummedBytes): added to sums[m][n] of its 16 x 8
// pieces of a tile.
template <class S>
__device__ void MultiplyTile(const SplitTile<S::kDim>& q, const SplitTile<S::kDim>& k, int warp_row,
                             int warp_column, int begin,
                             float (&sums)[S::kSixteens][S::kEights][4]) {
  constexpr int kM = S::kSixteens, kN = S::kEights, kPitch = 2 * S::kDim;
  const int lane = LaneId();
  // The row and piece whose address this lane gives to ldmatrix: rows then pieces for q, pieces
  // then rows for k. Sixteen rows on, pieces lie in the same order.
  const int q_at = SplitTile<S::kDim>::At(warp_row + lane % 16, lane / 16 * 16);
  const int k_at =
      SplitTile<S::kDim>::At(warp_column + lane / 16 * 8 + lane % 8, lane / 8 % 2 * 16);
  const uint32_t q_high_at = SharedAddress(q.high), q_low_at = SharedAddress(q.low);
  const uint32_t k_high_at = SharedAddress(k.high), k_low_at = SharedAddress(k.low);
#pragma unroll 1
  for (int byte = begin; byte < begin + kSummedBytes<S>; byte += 32) {
    uint32_t q_high[kM][4], q_low[kM][4];
#pragma unroll
    for (int m = 0; m < kM; ++m) {
      const auto at = static_cast<uint32_t>((q_at ^ byte) + 16 * m * kPitch);
      LoadMatrices(q_high_at + at, q_high[m]);
      LoadMatrices(q_low_at + at, q_low[m]);
    }
#pragma unroll
    for (int n = 0; n < kN; n += 2) {
      uint32_t k_high[4], k_low[4];
      const auto at = static_cast<uint32_t>((k_at ^ byte) + 8 * n * kPitch);
      LoadMatrices(k_high_at + at, k_high);
      LoadMatrices(k_low_at + at, k_low);
#pragma unroll
      for (int t = 0; t < 2 * kM; ++t) {
        MultiplyAdd(sums[t / 2][n + t % 2], q_high[t / 2], k_low[t % 2 * 2], k_low[t % 2 * 2 + 1]);
      }
#pragma unroll
      for (int t = 0; t < 2 * kM; ++t) {
        MultiplyAdd(sums[t / 2][n + t % 2], q_low[t / 2], k_high[t % 2 * 2], k_high[t % 2 * 2 + 1]);
      }
#pragma unroll
      for (int t = 0; t < 2 * kM; ++t) {
        MultiplyAdd(sums[t / 2][n + t % 2], q_high[t / 2], k_high[t % 2 * 2],
                    k_high[t % 2 * 2 + 1]);
      }
    }
  }
}

// The products of whole rows.
template <class S>
__device__ void MultiplyRows(const SplitTile<S::kDim>& q, const SplitTile<S::kDim>& k, int warp_row,
                             int warp_column, float (&sums)[S::kSixteens][S::kEights][4]) {
  MultiplyTile<S>(q, k, warp_row, warp_column, 0, sums);
#pragma unroll
  for (int begin = kSummedBytes<S>; begin < 2 * S::kDim; begin += kSummedBytes<S>) {
    float part[S::kSixteens][S::kEights][4] = {};
    MultiplyTile<S>(q, k, warp_row, warp_column, begin, part);
#pragma unroll
    for (int m = 0; m < S::kSixteens; ++m) {
#pragma unroll
      for (int n = 0; n < S::kEights; ++n) {
#pragma unroll
        for (int c = 0; c < 4; ++c) sums[m][n][c] += part[m][n][c];
      }
    }
  }
}

// Where a tile's scores go: `rows` x `columns` of it exist. `pairs`: two at a time are aligned.
struct TileOut {
  float* first;
  int64_t stride;
  int rows, columns;
  bool pairs;
};

// Writes one warp's scores.
template <class S>
__device__ void StoreTile(const float* q_unscale, const float* k_unscale, float scale, int warp_row,
                          int warp_column, const TileOut& to,
                          const float (&sums)[S::kSixteens][S::kEights][4]) {
  const int first_row = warp_row + LaneId() / 4, first_column = warp_column + LaneId() % 4 * 2;
#pragma unroll
  for (int m = 0; m < S::kSixteens; ++m) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int row = first_row + 16 * m + 8 * half;
      if (row >= to.rows) continue;
      const float factor = q_unscale[row] * scale;
      float* out = to.first + row * to.stride + first_column;
#pragma unroll
      for (int n = 0; n < S::kEights; ++n) {
        const int column = first_column + 8 * n;
        const float2 unscale = *reinterpret_cast<const float2*>(k_unscale + column);
        const float2 score = {sums[m][n][2 * half] * unscale.x * factor,
                              sums[m][n][2 * half + 1] * unscale.y * factor};
        if (to.pairs && column + 1 < to.columns) {
          *reinterpret_cast<float2*>(out + 8 * n) = score;
        } else {
          if (column < to.columns) out[8 * n] = score.x;
          if (column + 1 < to.columns) out[8 * n + 1] = score.y;
        }
      }
    }
  }
}

// Writes the scores of rows that were left out of the split. By the whole CTA.
__device__ void StorePlain(const float* q_unscale, const float* k_unscale, const RowSource& q,
                           const RowSource& k, float scale, const TileOut& to) {
  for (int n = static_cast<int>(threadIdx.x); n < to.rows * to.columns;
       n += static_cast<int>(blockDim.x)) {
    const int row = n / to.columns, column = n - row * to.columns;
    if (q_unscale[row] * k_unscale[column] != 0.0f) continue;
    const float* q_row = q.first + row * q.stride;
    const float* k_row = k.first + column * k.stride;
    double sum = 0.0;
#pragma unroll 1
    for (int d = 0; d < q.dim; ++d) sum += double{q_row[d]} * double{k_row[d]};
    to.first[row * to.stride + column] = static_cast<float>(double{scale} * sum);
  }
}

// How the operands and the output lie, beside their strides.
struct Alignment {
  bool wide_q, wide_k, pairs;
};

// CTA c of C has tiles [c all / C, (c + 1) all / C) of all, which are numbered (query tile, key
// tile). Those behind what a query tile may look at are skipped.
template <class S>
__global__ void __launch_bounds__(S::kThreads, S::kPlaces)
    Scores(const __grid_constant__ ScoreArgs a, int first_tile, int query_tiles, int key_tiles,
           const __grid_constant__ Alignment aligned) {
  extern __shared__ __align__(128) char shared[];
  constexpr int kBytesQ = S::kRows * S::kDim * 2, kBytesK = S::kColumns * S::kDim * 2;
  float* const unscales = reinterpret_cast<float*>(shared + 2 * (kBytesQ + kBytesK));
  const SplitTile<S::kDim> q = {shared, shared + kBytesQ, unscales};
  const SplitTile<S::kDim> k = {shared + 2 * kBytesQ, shared + 2 * kBytesQ + kBytesK,
                                unscales + S::kRows};
  constexpr int kRowsQ = S::kRows / S::kWarps, kRowsK = S::kColumns / S::kWarps;  // of one warp

  WaitForKernelBefore();
  LetNextKernelStart();
  const SelectGeometry& g = a.geometry;
  const int warp = WarpId();
  const int warp_row = warp / 2 * (16 * S::kSixteens), warp_column = warp % 2 * (8 * S::kEights);
  const int tiles = (g.t_q + S::kRows - 1) / S::kRows;  // of one head
  const int64_t all = int64_t{query_tiles} * key_tiles;
  const int64_t end = all * (blockIdx.x + 1) / gridDim.x;
  for (int64_t at = all * blockIdx.x / gridDim.x; at < end;) {
    const auto query_tile = static_cast<int>(at / key_tiles);
    const auto key_begin = static_cast<int>(at - int64_t{query_tile} * key_tiles);
    const int key_end = static_cast<int>(min(int64_t{key_tiles}, key_begin + (end - at)));
    at += key_end - key_begin;

    const int tile = first_tile + query_tile;
    const int head = tile / tiles;
    const int first_row = (tile - head * tiles) * S::kRows;
    const int b = head / a.heads, h = head - b * a.heads;
    const int rows = min(S::kRows, g.t_q - first_row);
    const int columns = min(g.AllowedBlocks(first_row + rows - 1), key_end * S::kColumns);
    int column = key_begin * S::kColumns;
    if (column >= columns) continue;
    const RowSource q_rows = {a.q.At(b, h, first_row), a.q.row, a.dim, aligned.wide_q};
    RowSource k_rows = {a.k.At(b, h / a.group, 0), a.k.row, a.dim, aligned.wide_k};
    k_rows.first += column * k_rows.stride;
    TileOut out = {a.out.At(b, h, first_row) + column, a.out.row, rows, 0, aligned.pairs};

    RowsInFlight<S::kDim, kRowsK> next;
    next.Load(k_rows, warp * kRowsK, g.t_k - column);
    bool q_leaves_out = false;
#pragma unroll 1
    for (int n = 0; n < kRowsQ; n += S::kBatch) {
      RowsInFlight<S::kDim, S::kBatch> batch;
      batch.Load(q_rows, warp * kRowsQ + n, rows);
      q_leaves_out = batch.Split(q, warp * kRowsQ + n) || q_leaves_out;
    }
    for (; column < columns; column += S::kColumns) {
      const bool plain = __syncthreads_or(next.Split(k, warp * kRowsK) || q_leaves_out) != 0;
      const RowSource these = k_rows;
      k_rows.first += S::kColumns * k_rows.stride;
      if (column + S::kColumns < columns) {
        next.Load(k_rows, warp * kRowsK, g.t_k - column - S::kColumns);
      }
      float sums[S::kSixteens][S::kEights][4] = {};
      MultiplyRows<S>(q, k, warp_row, warp_column, sums);
      out.columns = min(S::kColumns, columns - column);
      StoreTile<S>(q.unscale, k.unscale, a.scale, warp_row, warp_column, out, sums);
      if (plain) {
        __syncthreads();  // these scores replace some that other warps have stored
        StorePlain(q.unscale, k.unscale, q_rows, these, a.scale, out);
      }
      out.first += S::kColumns;
      __syncthreads();  // these keys have been read
    }
  }
}

template <class S>
void Launch(const ScoreArgs& a, int first, int end, int multiprocessors, cudaStream_t stream) {
  const auto kernel = &Scores<S>;
  Check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, S::kBytes),
        "select: scores");
  const auto wide = [&](const HeadRows& x) {
    return a.dim % 4 == 0 && Aligned16<float>(x.data, {x.batch, x.head, x.row});
  };
  const bool pairs = reinterpret_cast<uintptr_t>(a.out.data) % 8 == 0 && a.out.batch % 2 == 0 &&
                     a.out.head % 2 == 0 && a.out.row % 2 == 0;
  const int key_tiles = (a.geometry.t_k + S::kColumns - 1) / S::kColumns;
  // One run a place; where many tiles are skipped, more and shorter ones.
  const int64_t runs = int64_t{S::kPlaces} * multiprocessors * (a.geometry.causal ? 4 : 1);
  const int64_t grid = std::min(runs, int64_t{end - first} * key_tiles);
  LaunchNext("select: scores", a.follows, kernel, static_cast<unsigned>(grid), S::kThreads,
             S::kBytes, stream, a, first, end - first, key_tiles,
             Alignment{wide(a.q), wide(a.k), pairs});
}

template <int kDim>
void LaunchSized(const ScoreArgs& a, int first, int end, int multiprocessors, cudaStream_t stream) {
  if (a.tile_rows == LargeShape<kDim>::kRows) {
    Launch<LargeShape<kDim>>(a, first, end, multiprocessors, stream);
  } else {
    Launch<SmallShape<kDim>>(a, first, end, multiprocessors, stream);
  }
}

}  // namespace

int ScoreTileRows(int dim, int64_t heads, int t_q, int t_k) {
  if (dim > kDeepDim) return DeepShape::kRows;
  using Large = LargeShape<kDeepDim>;
  const int64_t tiles = heads * ((t_q + Large::kRows - 1) / Large::kRows) *
                        ((t_k + Large::kColumns - 1) / Large::kColumns);
  return tiles > kFewTiles ? Large::kRows : SmallShape<kDeepDim>::kRows;
}

void LaunchScores(const ScoreArgs& args, int first, int end, int multiprocessors,
                  cudaStream_t stream) {
  if (args.dim <= kShortDim) {
    LaunchSized<kShortDim>(args, first, end, multiprocessors, stream);
  } else if (args.dim <= kDeepDim) {
    LaunchSized<kDeepDim>(args, first, end, multiprocessors, stream);
  } else {
    Launch<DeepShape>(args, first, end, multiprocessors, stream);
  }
}

}  // namespace suffice::cuda
