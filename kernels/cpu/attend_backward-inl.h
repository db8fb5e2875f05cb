// SPDX-License-Identifier: Apache-2.0
// The backward pass in two halves without atomics: dq per tile of queries, dk and dv per tile of
// keys. Both recompute S and, run by run in registers, dP = dO V^T; P and dS follow in the epilogue
// of that run and are stored as units. (7 products where one pass with atomics has 5.)
#pragma once

#include <cstring>

#include "kernels/cpu/tile-inl.h"

namespace suffice::cpu {
namespace {

// Which side of S the queries are on: statistics of queries are vectors, or one number a row.
enum class Queries { kLanes, kRows };

struct QueryStatistics {
  const float* neg_lse;  // of lane 0, or of token 0
  const float* delta;
};

// From the scores s[row][lane] of the step: units of dS in place, and of P where p is wanted.
// dP of the step is rows x b[unit][lane].
template <class V, Queries kQueries, bool kWeights>
void ScoreGradients(const UnitMatrix& rows, const Step& step, const Ahead& ahead, const float* b,
                    int units, float scale, const QueryStatistics& statistics, float* s, float* p) {
  using F = typename V::F;
  const F factor = V::Set1(scale);
  for (int n = 0; n < step.count; ++n) {
    const Segment& segment = step.segments[n];
    const char* first = rows.data + segment.token * rows.row_bytes;
    const float* in = s + segment.row * kTile;
    const int unit = segment.row / V::kUnitValues;
    const int64_t ahead_bytes = ahead.Bytes(rows.data, step, n, 1, rows.row_bytes);
    ForEachRun(segment.count, [&](auto size, int row) {
      constexpr int R = decltype(size)::value;
      for (int group = 0; group < kTile; group += kColumnGroup<V>) {
        F dp[R][V::kColumns];
        Clear(dp, V::Zero());
        MultiplyAdd<V, Adjacent::kUnits, R>(dp, first + row * rows.row_bytes, rows.row_bytes,
                                            b + group, units, group == 0 ? ahead_bytes : 0);
#pragma GCC unroll 8
        for (int i = 0; i < V::kColumns; ++i) {
          const int lane = group + i * V::kLanes;
#pragma GCC unroll 8
          for (int r = 0; r < R; r += V::kUnitValues) {
            F weight[V::kUnitValues];
            F ds[V::kUnitValues];
#pragma GCC unroll 2
            for (int k = 0; k < V::kUnitValues; ++k) {
              if (r + k >= R) {  // fills a unit up
                weight[k] = V::Zero();
                ds[k] = V::Zero();
                continue;
              }
              F neg_lse, delta;
              if constexpr (kQueries == Queries::kLanes) {
                neg_lse = V::Load(statistics.neg_lse + lane);
                delta = V::Load(statistics.delta + lane);
              } else {
                neg_lse = V::Set1(statistics.neg_lse[segment.token + row + r + k]);
                delta = V::Set1(statistics.delta[segment.token + row + r + k]);
              }
              const F score = V::Load(in + (row + r + k) * kTile + lane);
              // In this order the large terms cancel before anything is rounded.
              const F exponent = V::Mul(V::CancellingFma(score, factor, neg_lse), V::Set1(kLog2E));
              weight[k] = Exp2<V>()(exponent);
              ds[k] = V::Mul(weight[k], V::Sub(dp[r + k][i], delta));
            }
            // Row `to` of s is behind every score still to be read.
            const int to = (unit + (row + r) / V::kUnitValues) * kTile + lane;
            V::StoreUnits(s + to, ds);
            if constexpr (kWeights) V::StoreUnits(p + to, weight);
          }
        }
      }
    });
  }
}

// neg_lse and delta of `rows` queries (attention_tile.h).
template <class V, class Input>
void RowStatistics(Rows o, Rows d_o, const float* lse, int64_t lse_stride, int64_t rows, int dim,
                   float* neg_lse, float* delta) {
  float a[kMaxDim + V::kLanes], b[kMaxDim + V::kLanes];
  for (int64_t r = 0; r < rows; ++r) {
    WidenRow<V, Input>(o.data + r * o.stride_bytes, dim, a);
    WidenRow<V, Input>(d_o.data + r * d_o.stride_bytes, dim, b);
    auto sum = V::Zero();
    for (int d = 0; d < dim; d += V::kLanes) sum = V::Fma(V::Load(a + d), V::Load(b + d), sum);
    float lanes[V::kLanes];
    V::Store(lanes, sum);
    float total = 0.0f;
    for (const float x : lanes) total += x;
    delta[r] = total;
    const float l = lse[r * lse_stride];
    neg_lse[r] = l == kMinusInfinity ? kMinusInfinity : -l;
  }
}

// Scratch: S, P, two packed operands, two results, staging.
template <class V>
struct GradientScratch {
  float *s, *p, *first, *second, *d_first, *d_second, *stage;

  GradientScratch(void* memory, int dim) {
    float* next = static_cast<float*>(memory);
    const auto take = [&](int floats) {
      float* piece = next;
      next += floats;
      return piece;
    };
    s = take(kStepRows * kTile);
    p = take(kStepRows * kTile / V::kUnitValues);
    first = take(PaddedUnits<V>(dim) * kTile);
    second = take(PaddedUnits<V>(dim) * kTile);
    d_first = take(PaddedDim<V>(dim) * kTile);
    d_second = take(PaddedDim<V>(dim) * kTile);
    stage = take(V::kLanes * PaddedDim<V>(dim));
    bytes = static_cast<size_t>(next - static_cast<float*>(memory)) * sizeof(float);
  }
  size_t bytes;
};

template <class V>
size_t GradientScratchBytes(int dim) {
  return sizeof(float) *
         static_cast<size_t>(kStepRows * kTile + kStepRows * kTile / V::kUnitValues +
                             2 * (PaddedUnits<V>(dim) + PaddedDim<V>(dim)) * kTile +
                             V::kLanes * PaddedDim<V>(dim));
}

inline void FillFactor(float value, float* factor) {
  for (int lane = 0; lane < kTile; ++lane) factor[lane] = value;
}

template <class V, class Input>
void QueryGradientOf(const QueryGradient& job, void* scratch) {
  const GradientScratch<V> w(scratch, job.dim);
  const int units = Units<V>(job.dim);
  const size_t result_bytes = sizeof(float) * static_cast<size_t>(job.dim * kTile);
  PackLanes<V, Input>(job.q, job.rows, job.dim, w.stage, w.first);
  PackLanes<V, Input>(job.d_o, job.rows, job.dim, w.stage, w.second);
  std::memset(w.d_first, 0, result_bytes);
  alignas(64) float neg_lse[kTile], delta[kTile], bound[kTile], factor[kTile];
  for (int lane = 0; lane < kTile; ++lane) {
    neg_lse[lane] = lane < job.rows ? job.neg_lse[lane] : kMinusInfinity;
    delta[lane] = lane < job.rows ? job.delta[lane] : 0.0f;
    bound[lane] = static_cast<float>(job.first + job.shift + lane);
  }

  RowWalk walk{job.blocks, job.block_k, 0, job.n_k, job.causal, true, job.first + job.shift};
  const int64_t last_bound = walk.free + job.rows - 1;
  if (job.causal && last_bound + 1 < walk.end) walk.end = last_bound + 1;
  ForEachStep<V>(walk, [&](const Step& step, const Step* next) {
    Scores<V, false>(job.k, step, AheadOf(job.k, next), w.first, units, w.s, nullptr);
    if (step.masked) HideScores<V, true>(step, bound, w.s);
    ScoreGradients<V, Queries::kLanes, false>(job.v, step, AheadOf(job.v, next), w.second, units,
                                              job.scale, {neg_lse, delta}, w.s, nullptr);
    Accumulate<V, false>(job.k_across, step, AheadOf(job.k_across, next), w.s, job.dim, nullptr,
                         w.d_first);
  });
  FillFactor(job.scale, factor);
  UnpackLanes<V, Input>(w.d_first, factor, job.rows, job.dim, w.stage, job.dq);
}

template <class V, class Input>
void KeyGradientBegin(const KeyGradient& job, void* scratch) {
  const GradientScratch<V> w(scratch, job.dim);
  const size_t result_bytes = sizeof(float) * static_cast<size_t>(job.dim * kTile);
  PackLanes<V, Input>(job.k, job.rows, job.dim, w.stage, w.first);
  PackLanes<V, Input>(job.v, job.rows, job.dim, w.stage, w.second);
  std::memset(w.d_first, 0, result_bytes);
  std::memset(w.d_second, 0, result_bytes);
}

template <class V>
void KeyGradientAdd(const KeyGradient& job, const KeyGradientHead& head, void* scratch) {
  const GradientScratch<V> w(scratch, job.dim);
  const int units = Units<V>(job.dim);
  alignas(64) float bound[kTile];  // the first query that sees a key
  for (int lane = 0; lane < kTile; ++lane) {
    bound[lane] = static_cast<float>(job.first - job.shift + lane);
  }
  RowWalk walk{head.blocks,
               head.block_q,
               0,
               job.n_q,
               job.causal,
               false,
               job.first - job.shift + job.rows - 1};
  const int64_t first_query = job.first - job.shift;
  if (job.causal && first_query > 0) walk.begin = first_query / 2 * 2;
  ForEachStep<V>(walk, [&](const Step& step, const Step* next) {
    Scores<V, false>(head.q, step, AheadOf(head.q, next), w.first, units, w.s, nullptr);
    if (step.masked) HideScores<V, false>(step, bound, w.s);
    ScoreGradients<V, Queries::kRows, true>(head.d_o, step, AheadOf(head.d_o, next), w.second,
                                            units, job.scale, {head.neg_lse, head.delta}, w.s, w.p);
    Accumulate<V, false>(head.q_across, step, AheadOf(head.q_across, next), w.s, job.dim, nullptr,
                         w.d_first);
    Accumulate<V, false>(head.d_o_across, step, AheadOf(head.d_o_across, next), w.p, job.dim,
                         nullptr, w.d_second);
  });
}

template <class V, class Input>
void KeyGradientEnd(const KeyGradient& job, void* scratch) {
  const GradientScratch<V> w(scratch, job.dim);
  alignas(64) float factor[kTile];
  FillFactor(job.scale, factor);
  UnpackLanes<V, Input>(w.d_first, factor, job.rows, job.dim, w.stage, job.dk);
  FillFactor(1.0f, factor);
  UnpackLanes<V, Input>(w.d_second, factor, job.rows, job.dim, w.stage, job.dv);
}

}  // namespace
}  // namespace suffice::cpu
