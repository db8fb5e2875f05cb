// SPDX-License-Identifier: Apache-2.0
// What both forms of the scores' kernel share: the walk over tiles of query and key blocks, and how
// a tile's scores are written.
//
// A CTA has a run of tiles, key tile after key tile of one query tile after another: it keeps the
// query tile, and the next keys are on their way while it multiplies. What else it waits for, the
// splitting and the stores, is hidden by the other CTAs of a multiprocessor.
//
// Rows that were left out of the split (infinities, NaN, beyond 2^60 either way) are summed one
// product after another in double.
//
// A form says how a tile is multiplied:
//
//   kDim, kRows, kColumns   a tile's dimensions, query blocks and key blocks
//   kThreads, kPlaces       of a CTA; CTAs that are to fit a multiprocessor
//   kBatch                  rows of the query tile that a warp reads at once, as registers allow
//   Queries, Keys           tiles in shared memory, as SplitTile is one
//   kHolds                  whether queries are taken out of their tile, which leaves room
//   Hold(q, warp)           what Multiply has of the queries; by all warps together, before a run's
//                           first keys
//   NextKeys(shared, warp)  the next keys of this warp: RowsInFlight, or RowsAside in that room
//   Sums                    a warp's products, of the rows from Row(warp) on and the columns from
//                           Column(warp) on. Lane l has rows l / 4 + 8 m, for m below kEightRows,
//                           and in each of them kRuns runs of kRun neighbouring columns from
//                           RunAt(l % 4, r) on
//   Sum(sums, m, r, c)      one of them
//   Multiply(held, k, warp, sums)   sums = q k^T, by all warps together
//   Written()               after a thread's writes to tiles, before the barrier
//   Sink, SinkOf(args, end)   what Store must know besides, made on the host for tiles before `end`
//
// and if it holds queries:
//
//   kRoom                   bytes that it needs from where the queries were
//   Store(shared, q_unscale, k_unscale, scale, warp, to, plain, sink, sums)
//                           writes a warp's scores; at once if `plain`: others replace some of them
//   Drain()                 by all warps together: what Store put into that room has left
#pragma once

#include <algorithm>
#include <type_traits>

#include "kernels/cuda/launch_next.h"
#include "kernels/cuda/select/scores.h"
#include "kernels/cuda/select/split_rows.h"
#include "kernels/cuda/vector16.h"

namespace suffice::cuda {

// Of shared memory: both tiles, each twice as fp16, and their scales.
constexpr int ScoreBytes(int rows, int columns, int dim, int room = 0) {
  return std::max(rows * 4 * dim, room) + columns * 4 * dim +
         (rows + columns) * static_cast<int>(sizeof(float));
}

// Of forms that multiply queries where they lie, with kCount keys a warp.
template <int kDim, int kCount>
struct InPlace {
  static constexpr bool kHolds = false;
  static constexpr int kRoom = 0;
  struct Sink {};
  static Sink SinkOf(const ScoreArgs&, int) { return {}; }
  template <class Queries>
  __device__ static Queries Hold(const Queries& q, int) {
    return q;
  }
  __device__ static RowsInFlight<kDim, kCount> NextKeys(char*, int) { return {}; }
};

// Where a tile's scores go, from row `row` and column `column` of a head on: `rows` x `columns` of
// it exist. `together`: so many at a time are aligned, where they begin at a multiple of it.
struct TileOut {
  float* first;
  int64_t stride;
  int together;
  int b, h, row, rows;
  int column, columns;
};

// Writes neighbouring scores of which `left` exist. As assignments, the compiler makes single
// stores of both vectors, which costs a small selection 2 of its 33 us.
template <int kRun>
__device__ inline void StoreRun(const float (&score)[kRun], int together, int left, float* out) {
  if constexpr (kRun == 4) {
    if (together == 4 && left >= 4) {
      return __stwb(reinterpret_cast<float4*>(out),
                    make_float4(score[0], score[1], score[2], score[3]));
    }
  }
#pragma unroll
  for (int c = 0; c < kRun; c += 2) {
    if (together >= 2 && c + 1 < left) {
      __stwb(reinterpret_cast<float2*>(out + c), make_float2(score[c], score[c + 1]));
    } else {
      if (c < left) out[c] = score[c];
      if (c + 1 < left) out[c + 1] = score[c + 1];
    }
  }
}

// Writes one warp's scores.
template <class Form>
__device__ void StoreTile(const float* q_unscale, const float* k_unscale, float scale, int warp,
                          const TileOut& to, const typename Form::Sums& sums) {
  int lane = LaneId();
  asm volatile("" : "+r"(lane));  // places made anew at every tile leave registers to the keys
  const int first_row = Form::Row(warp) + lane / 4;
#pragma unroll
  for (int m = 0; m < Form::kEightRows; ++m) {
    const int row = first_row + 8 * m;
    if (row >= to.rows) continue;
    const float factor = q_unscale[row] * scale;
    float* const out = to.first + row * to.stride;
#pragma unroll
    for (int r = 0; r < Form::kRuns; ++r) {
      const int column = Form::Column(warp) + Form::RunAt(lane % 4, r);
      using Run = std::conditional_t<Form::kRun == 2, float2, float4>;
      const Run unscales = *reinterpret_cast<const Run*>(k_unscale + column);
      float score[Form::kRun];
#pragma unroll
      for (int c = 0; c < Form::kRun; ++c) {
        score[c] = Form::Sum(sums, m, r, c) * (&unscales.x)[c] * factor;
      }
      StoreRun(score, to.together, to.columns - column, out + column);
    }
  }
}

// Writes the scores of rows that were left out of the split. By the whole CTA.
__device__ inline void StorePlain(const float* q_unscale, const float* k_unscale,
                                  const RowSource& q, const RowSource& k, float scale,
                                  const TileOut& to) {
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
  bool wide_q, wide_k;
  int together;  // scores
};

// CTA c of C has the tiles from c all / C on of all, which are numbered (query tile, key tile):
// `each` of them, and `more` of the CTAs, evenly among the others, one more. Those behind what a
// query tile may look at are skipped.
template <class Form>
__global__ void __launch_bounds__(Form::kThreads, Form::kPlaces)
    Scores(const __grid_constant__ ScoreArgs a, int first_tile, int key_tiles, int each, int more,
           const __grid_constant__ Alignment aligned,
           const __grid_constant__ typename Form::Sink sink) {
  extern __shared__ __align__(1024) char shared[];
  constexpr int kHalfQ = Form::kRows * Form::kDim * 2, kHalfK = Form::kColumns * Form::kDim * 2;
  char* const keys = shared + std::max(2 * kHalfQ, Form::kRoom);
  float* const unscales = reinterpret_cast<float*>(keys + 2 * kHalfK);
  const typename Form::Queries q = {shared, shared + kHalfQ, unscales};
  const typename Form::Keys k = {keys, keys + kHalfK, unscales + Form::kRows};
  constexpr int kWarps = Form::kThreads / 32;
  constexpr int kRowsQ = Form::kRows / kWarps, kRowsK = Form::kColumns / kWarps;  // of one warp

  WaitForKernelBefore();
  LetNextKernelStart();
  const SelectGeometry& g = a.geometry;
  const int warp = Common(WarpId());
  const int tiles = (g.t_q + Form::kRows - 1) / Form::kRows;  // of one head
  const auto cta = static_cast<int>(blockIdx.x);
  const int ctas = static_cast<int>(gridDim.x);
  const int longer = cta * more / ctas;  // of those before
  const int begin = cta * each + longer;
  int left = each + (cta + 1) * more / ctas - longer;
  int query_tile = begin / key_tiles;
  int key_begin = begin - query_tile * key_tiles;
  for (; left > 0; ++query_tile, key_begin = 0) {
    const int key_end = min(key_tiles, key_begin + left);
    left -= key_end - key_begin;

    const int tile = first_tile + query_tile;
    const int head = tile / tiles;
    const int first_row = (tile - head * tiles) * Form::kRows;
    const int b = head / a.heads, h = head - b * a.heads;
    const int rows = min(Form::kRows, g.t_q - first_row);
    const int columns = min(g.AllowedBlocks(first_row + rows - 1), key_end * Form::kColumns);
    int column = key_begin * Form::kColumns;
    if (column >= columns) continue;
    const RowSource q_rows = {a.q.At(b, h, first_row), a.q.row, a.dim, aligned.wide_q};
    const RowSource k_rows = {a.k.At(b, h / a.group, 0), a.k.row, a.dim, aligned.wide_k};

    auto next = Form::NextKeys(shared, warp);
    if constexpr (!Form::kHolds) next.Load(k_rows, column + warp * kRowsK, g.t_k);
    bool q_leaves_out = false;
#pragma unroll 1
    for (int n = 0; n < kRowsQ; n += Form::kBatch) {
      RowsInFlight<Form::kDim, Form::kBatch> batch;
      batch.Load(q_rows, warp * kRowsQ + n, rows);
      q_leaves_out = batch.Split(q, warp * kRowsQ + n) || q_leaves_out;
    }
    const auto held = Form::Hold(q, warp);
    if constexpr (Form::kHolds) next.Load(k_rows, column + warp * kRowsK, g.t_k);
    for (; column < columns; column += Form::kColumns) {
      const bool leaves_out = next.Split(k, warp * kRowsK) || q_leaves_out;
      Form::Written();
      const bool plain = __syncthreads_or(leaves_out) != 0;
      const int next_column = column + Form::kColumns;
      if (next_column < columns) next.Load(k_rows, next_column + warp * kRowsK, g.t_k);
      typename Form::Sums sums;
      Form::Multiply(held, k, warp, sums);
      const int there = min(Form::kColumns, columns - column);
      float* const first = a.out.At(b, h, first_row) + column;
      const TileOut out = {first,     a.out.row, aligned.together, b,    h,
                           first_row, rows,      column,           there};
      if constexpr (Form::kHolds) {
        Form::Store(shared, q.unscale, k.unscale, a.scale, warp, out, plain, sink, sums);
      } else {
        StoreTile<Form>(q.unscale, k.unscale, a.scale, warp, out, sums);
      }
      if (plain) {
        __syncthreads();  // these scores replace some that other warps have stored
        RowSource these = k_rows;
        these.first += column * these.stride;
        StorePlain(q.unscale, k.unscale, q_rows, these, a.scale, out);
      }
      __syncthreads();  // these keys have been read
    }
    if constexpr (Form::kHolds) Form::Drain();
  }
}

template <class Form>
void LaunchForm(const ScoreArgs& a, int first, int end, int multiprocessors, cudaStream_t stream) {
  const auto kernel = &Scores<Form>;
  constexpr int kBytes = ScoreBytes(Form::kRows, Form::kColumns, Form::kDim, Form::kRoom);
  Check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kBytes),
        "select: scores");
  const auto wide = [&](const HeadRows& x) {
    return a.dim % 4 == 0 && Aligned16<float>(x.data, {x.batch, x.head, x.row});
  };
  const auto aligned = [&](int count) {  // whether so many scores at a time are aligned
    return reinterpret_cast<uintptr_t>(a.out.data) % (4 * count) == 0 && a.out.batch % count == 0 &&
           a.out.head % count == 0 && a.out.row % count == 0;
  };
  const int together = aligned(4) ? 4 : aligned(2) ? 2 : 1;
  const int key_tiles = (a.geometry.t_k + Form::kColumns - 1) / Form::kColumns;
  // One run a place; where many tiles are skipped, more and shorter ones.
  const int64_t runs = int64_t{Form::kPlaces} * multiprocessors * (a.geometry.causal ? 4 : 1);
  const int64_t all = int64_t{end - first} * key_tiles;
  const int64_t grid = std::min(runs, all);
  LaunchNext("select: scores", kernel, static_cast<unsigned>(grid), Form::kThreads, kBytes, stream,
             a, first, key_tiles, static_cast<int>(all / grid), static_cast<int>(all % grid),
             Alignment{wide(a.q), wide(a.k), together}, Form::SinkOf(a, end));
}

}  // namespace suffice::cuda
