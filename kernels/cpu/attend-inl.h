// SPDX-License-Identifier: Apache-2.0
// The forward pass of a group of tiles over its list of key blocks. Per step of up to kStepRows
// keys, and per tile of queries:
//   S = K Q^T                     [key][query], fp32
//   m' = max(m, c max S)          c = scale log2 e; exponents are base 2 from here on
//   P = 2^(c S - m')              in place; rounded to bf16 pairs where units are pairs
//   l = 2^(m - m') l + sum P      of P before that rounding
//   O = 2^(m - m') O + V^T P      [dimension][query]
// and at the end o = O / l, lse = ln 2 m + log l. Any reference m gives the same o and lse, so
// the rounding of c max S does no harm. Keys are masked only where a causal bound cuts a segment.
#pragma once

#include <cmath>
#include <cstring>

#include "kernels/cpu/tile-inl.h"

namespace suffice::cpu {
namespace {

// What one tile of queries carries from step to step.
struct TileState {
  float* q;                    // [unit][lane]
  float* o;                    // [dimension][lane], not yet divided by l
  alignas(64) float m[kTile];  // base 2
  alignas(64) float l[kTile];
  alignas(64) float bound[kTile];  // the last key that a lane sees, where causal
};

inline void Reset(TileState& tile) {
  for (int lane = 0; lane < kTile; ++lane) {
    tile.m[lane] = kMinusInfinity;
    tile.l[lane] = 0.0f;
  }
}

// log2 e in c is rounded, and m is up to thousands: dividing by the same c takes its error out
// again.
inline float LseOf(const TileState& tile, int lane, float scale) {
  if (tile.l[lane] == 0.0f) return kMinusInfinity;
  const double unit = double{scale} / double{scale * kLog2E};  // ln 2, but for that rounding
  return static_cast<float>(unit * double{tile.m[lane]} + double{::logf(tile.l[lane])});
}

// Scores to weights, in place: s[row][lane] to units p[row / kUnitValues][lane]. l += their sum,
// taken by itself first: added one by one to a long row's l, they would lose their last digits.
template <class V>
void Weights(int rows, float c, const float* m, float* s, float* l) {
  using F = typename V::F;
  F factor = V::Set1(c);
  V::KeepInRegister(factor);
  Exp2<V> exp2;
  exp2.KeepInRegisters();
  for (int group = 0; group < kTile; group += kColumnGroup<V>) {
    F sum[V::kColumns];
    F shift[V::kColumns];
#pragma GCC unroll 8
    for (int i = 0; i < V::kColumns; ++i) {
      sum[i] = V::Zero();
      shift[i] = V::Sub(V::Zero(), V::Load(m + group + i * V::kLanes));
    }
    const float* in = s + group;
    float* out = s + group;
    for (int row = 0; row < rows; row += V::kUnitValues) {
#pragma GCC unroll 8
      for (int i = 0; i < V::kColumns; ++i) {
        F p[V::kUnitValues];
#pragma GCC unroll 2
        for (int k = 0; k < V::kUnitValues; ++k) {
          p[k] = exp2(V::CancellingFma(V::Load(in + k * kTile + i * V::kLanes), factor, shift[i]));
          sum[i] = V::Add(sum[i], p[k]);
        }
        V::StoreUnits(out + i * V::kLanes, p);
      }
      in += V::kUnitValues * kTile;
      out += kTile;
    }
#pragma GCC unroll 8
    for (int i = 0; i < V::kColumns; ++i) {
      float* total = l + group + i * V::kLanes;
      V::Store(total, V::Add(V::Load(total), sum[i]));
    }
  }
}

// S, m, l and P of one step; alpha[lane] = 2^(m - m').
template <class V>
void SoftmaxStep(const UnitMatrix& k, int units, float scale, const Step& step, const Ahead& ahead,
                 TileState& tile, float* s, float* alpha) {
  using F = typename V::F;
  const float c = scale * kLog2E;
  alignas(64) float max[kTile], reference[kTile];
  Scores<V, true>(k, step, ahead, tile.q, units, s, max);
  if (step.masked) {
    HideScores<V, true>(step, tile.bound, s);
    MaxOverRows<V>(step.rows, s, max);
  }
  for (int lane = 0; lane < kTile; lane += V::kLanes) {
    const F old = V::Load(tile.m + lane);
    const F top = V::Max(V::Mul(V::Load(max + lane), V::Set1(c)), old);
    // Without any key yet, subtracting -infinity would make NaN of the masked scores.
    const F finite = V::ReplaceEqual(top, V::Set1(kMinusInfinity), V::Zero());
    const F factor = Exp2<V>()(V::Sub(old, finite));
    V::Store(tile.m + lane, top);
    V::Store(reference + lane, finite);
    V::Store(alpha + lane, factor);
    V::Store(tile.l + lane, V::Mul(V::Load(tile.l + lane), factor));
  }
  Weights<V>(step.rows, c, reference, s, tile.l);
}

template <class V>
constexpr int TileFloats(int dim) {
  return (PaddedUnits<V>(dim) + PaddedDim<V>(dim)) * kTile;
}

template <class V>
size_t AttendScratch(int dim) {
  return sizeof(float) * static_cast<size_t>(kGroupTiles * TileFloats<V>(dim) + kStepRows * kTile +
                                             V::kLanes * PaddedDim<V>(dim));
}

template <class V, class Input>
void Attend(const AttendHead& head, const AttendGroup& group, void* scratch) {
  float* s = static_cast<float*>(scratch);
  float* stage = s + kStepRows * kTile;
  float* next = stage + V::kLanes * PaddedDim<V>(head.dim);
  const int tiles = (group.rows + kTile - 1) / kTile;
  const int64_t first_bound = group.first + head.shift;
  TileState state[kGroupTiles];
  const auto rows_of = [&](int t) {
    return group.rows - t * kTile < kTile ? group.rows - t * kTile : kTile;
  };
  for (int t = 0; t < tiles; ++t) {
    TileState& tile = state[t];
    tile.q = next;
    tile.o = next + PaddedUnits<V>(head.dim) * kTile;
    next += TileFloats<V>(head.dim);
    Reset(tile);
    for (int lane = 0; lane < kTile; ++lane) {
      tile.bound[lane] = static_cast<float>(first_bound + t * kTile + lane);
    }
    PackLanes<V, Input>(group.q.from(t * kTile), rows_of(t), head.dim, stage, tile.q);
    std::memset(tile.o, 0, sizeof(float) * static_cast<size_t>(head.dim * kTile));
  }

  RowWalk walk{group.blocks, head.block_k, 0, head.n_k, head.causal, true, first_bound};
  const int64_t last_bound = first_bound + group.rows - 1;
  if (head.causal && last_bound + 1 < walk.end) walk.end = last_bound + 1;
  const Step then = FirstStep(group.then.blocks, head.block_k);
  int64_t left = (group.blocks.count * head.block_k + kStepRows - 1) / kStepRows;
  ForEachStep<V>(walk, [&](const Step& step, const Step* next_step) {
    --left;
    const Step& coming = next_step == nullptr ? then : *next_step;
    const char* coming_k = next_step == nullptr ? group.then.k : head.k.data;
    const char* coming_v = next_step == nullptr ? group.then.v : head.v.data;
    for (int t = 0; t < tiles; ++t) {
      alignas(64) float alpha[kTile];
      // The first tile brings the next step near, the second what did not fit in there or else,
      // towards the end, what other groups will want.
      const int first = t * step.count;
      Ahead ahead{coming_k, &coming, first};
      if (t == 1 && first >= coming.count && left >= 1 && left <= kFar) {
        ahead = {group.far[kFar - left]};
      }
      SoftmaxStep<V>(head.k, Units<V>(head.dim), head.scale, step, ahead, state[t], s, alpha);
      ahead = {coming_v, &coming, first};
      Accumulate<V, true>(head.v, step, ahead, s, head.dim, alpha, state[t].o);
    }
  });

  for (int t = 0; t < tiles; ++t) {
    const TileState& tile = state[t];
    alignas(64) float factor[kTile];
    for (int lane = 0; lane < kTile; ++lane) {
      factor[lane] = tile.l[lane] == 0.0f ? 0.0f : 1.0f / tile.l[lane];
    }
    UnpackLanes<V, Input>(tile.o, factor, rows_of(t), head.dim, stage, group.o.from(t * kTile));
    for (int i = 0; group.lse != nullptr && i < rows_of(t); ++i) {
      group.lse[(t * kTile + i) * group.lse_stride] = LseOf(tile, i, head.scale);
    }
  }
}

// The log-sum-exp of up to kTile chosen queries over all keys that each sees.
template <class V, class Input>
void FullLse(const FullLseTile& job, void* scratch) {
  float* s = static_cast<float*>(scratch);
  float* stage = s + kStepRows * kTile;
  TileState tile;
  tile.q = stage + V::kLanes * PaddedDim<V>(job.dim);
  Reset(tile);
  PackLanes<V, Input>(job.q, job.rows, job.dim, stage, tile.q, job.row_ids);
  int64_t first = job.n_k - 1;
  int64_t last = -1;
  for (int lane = 0; lane < kTile; ++lane) {
    const int i = lane < job.rows ? lane : job.rows - 1;
    const int64_t t = job.row_ids == nullptr ? job.first + i : job.row_ids[i];
    const int64_t bound = job.causal ? t + job.shift : job.n_k - 1;
    tile.bound[lane] = static_cast<float>(bound);
    first = bound < first ? bound : first;
    last = bound > last ? bound : last;
  }
  const int64_t end = last + 1 < job.n_k ? last + 1 : job.n_k;
  const RowWalk walk{
      {nullptr, (job.n_k + kStepRows - 1) / kStepRows}, kStepRows, 0, end, job.causal, true, first};
  ForEachStep<V>(walk, [&](const Step& step, const Step* next) {
    alignas(64) float alpha[kTile];
    SoftmaxStep<V>(job.k, Units<V>(job.dim), job.scale, step, AheadOf(job.k, next), tile, s, alpha);
  });
  for (int i = 0; i < job.rows; ++i) job.lse[i * job.lse_stride] = LseOf(tile, i, job.scale);
}

}  // namespace
}  // namespace suffice::cpu
