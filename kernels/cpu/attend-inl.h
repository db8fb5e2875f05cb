// SPDX-License-Identifier: Apache-2.0
// The forward pass of a group of tiles over its list of key blocks. Per step of up to kStepKeys
// keys, and per tile of queries:
//   S = K Q^T                     [key][query], fp32
//   m' = max(m, c max S)          c = scale log2 e; exponents are base 2 from here on
//   P = 2^(c S - m')              in place; rounded to bf16 pairs where units are pairs
//   l = 2^(m - m') l + sum P      of P before that rounding
//   O = 2^(m - m') O + V^T P      [dimension][query]
// and at the end o = O / l, lse = ln 2 (m + log2 l). Any reference m gives the same o and lse, so
// the rounding of c max S does no harm. Keys are masked only where a causal bound cuts a segment.
#pragma once

#include <cmath>
#include <cstring>
#include <limits>

#include "kernels/cpu/pack-inl.h"
#include "kernels/cpu/product-inl.h"
#include "kernels/cpu/softmax-inl.h"

namespace suffice::cpu {
namespace {

constexpr float kLog2E = 1.44269504f;
constexpr double kLn2 = 0.69314718055994531;
constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

// Consecutive keys of one block within a step; their scores start at row `row` of S.
struct Segment {
  int64_t key;
  int count;
  int row;
};

struct Step {
  Segment segments[kStepKeys / 2];
  int count = 0;
  int rows = 0;  // of S, whole units
  bool masked = false;
};

// Cuts the listed blocks into steps and calls f(step) for each. Keys that no query of
// [first, last] sees are left out.
template <class V, class F>
[[gnu::always_inline]] inline void ForEachStep(const BlockList& blocks, int block_k, int64_t n_k,
                                               bool causal, int64_t first_bound, int64_t last_bound,
                                               F f) {
  Step step;
  const int64_t end = causal && last_bound + 1 < n_k ? last_bound + 1 : n_k;
  for (int64_t n = 0; n < blocks.count; ++n) {
    const int64_t begin = blocks.at(n) * block_k;
    const int64_t block_end = begin + block_k < end ? begin + block_k : end;
    for (int64_t key = begin; key < block_end; key += kStepKeys) {
      const int count = static_cast<int>(block_end - key < kStepKeys ? block_end - key : kStepKeys);
      if (step.rows + count > kStepKeys) {
        f(step);
        step.count = 0;
        step.rows = 0;
        step.masked = false;
      }
      step.segments[step.count++] = {key, count, step.rows};
      step.rows += Units<V>(count) * V::kUnitValues;
      step.masked = step.masked || (causal && key + count - 1 > first_bound);
    }
  }
  if (step.count > 0) f(step);
}

template <class V>
constexpr int kColumnGroup = V::kLanes* V::kColumns;

// s[row][lane] = K Q^T of the step; max[lane] its maximum over the rows.
template <class V>
[[gnu::noinline]] void Scores(const UnitMatrix& k, const Step& step, const float* q, int units,
                              float* s, float* max) {
  using F = typename V::F;
  for (int lane = 0; lane < kTile; lane += V::kLanes) V::Store(max + lane, V::Set1(kMinusInfinity));
  for (int n = 0; n < step.count; ++n) {
    const Segment& segment = step.segments[n];
    const char* keys = k.data + segment.key * k.row_bytes;
    float* out = s + segment.row * kTile;
    ForEachRun(segment.count, [&](auto size, int row) {
      constexpr int R = decltype(size)::value;
      for (int group = 0; group < kTile; group += kColumnGroup<V>) {
        F sum[R][V::kColumns];
#pragma GCC unroll 32
        for (int i = 0; i < R * V::kColumns; ++i) sum[i / V::kColumns][i % V::kColumns] = V::Zero();
        MultiplyAdd<V, Adjacent::kUnits, R>(sum, keys + row * k.row_bytes, k.row_bytes, q + group,
                                            units);
#pragma GCC unroll 8
        for (int c = 0; c < V::kColumns; ++c) {
          float* column = out + row * kTile + group + c * V::kLanes;
          F top = V::Load(max + group + c * V::kLanes);
#pragma GCC unroll 8
          for (int r = 0; r < R; ++r) {
            V::Store(column + r * kTile, sum[r][c]);
            top = V::Max(top, sum[r][c]);
          }
          V::Store(max + group + c * V::kLanes, top);
        }
      }
    });
    for (int row = segment.count; row % V::kUnitValues != 0; ++row) {
      for (int lane = 0; lane < kTile; lane += V::kLanes) {
        V::Store(out + row * kTile + lane, V::Set1(kMinusInfinity));
      }
    }
  }
}

// Scores of keys that a lane does not see become -infinity, and the maxima are taken again. Lane i
// sees the keys up to first_bound + i.
template <class V>
void MaskScores(const Step& step, int64_t first_bound, float* s, float* max) {
  for (int n = 0; n < step.count; ++n) {
    const Segment& segment = step.segments[n];
    for (int row = 0; row < segment.count; ++row) {
      const int64_t hidden = segment.key + row - first_bound;  // lanes below this see no such key
      const int lanes = static_cast<int>(hidden < 0 ? 0 : hidden < kTile ? hidden : kTile);
      float* out = s + (segment.row + row) * kTile;
      for (int lane = 0; lane < lanes; lane += V::kLanes) {
        V::Store(out + lane,
                 V::ReplaceBelow(V::Load(out + lane), lanes - lane, V::Set1(kMinusInfinity)));
      }
    }
  }
  for (int lane = 0; lane < kTile; lane += V::kLanes) {
    auto top = V::Set1(kMinusInfinity);
    for (int row = 0; row < step.rows; ++row) top = V::Max(top, V::Load(s + row * kTile + lane));
    V::Store(max + lane, top);
  }
}

// Scores to weights, in place: s[row][lane] to units p[row / kUnitValues][lane]. l += their sum.
template <class V>
[[gnu::noinline]] void Weights(int rows, float c, const float* m, float* s, float* l) {
  using F = typename V::F;
  constexpr int kDegree = V::kUnitValues == 2 ? 4 : 6;
  const F factor = V::Set1(c);
  for (int group = 0; group < kTile; group += kColumnGroup<V>) {
    F sum[V::kColumns];
    F shift[V::kColumns];
#pragma GCC unroll 8
    for (int i = 0; i < V::kColumns; ++i) {
      sum[i] = V::Load(l + group + i * V::kLanes);
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
          p[k] =
              Exp2<V, kDegree>(V::Fma(V::Load(in + k * kTile + i * V::kLanes), factor, shift[i]));
          sum[i] = V::Add(sum[i], p[k]);
        }
        V::StoreUnits(out + i * V::kLanes, p);
      }
      in += V::kUnitValues * kTile;
      out += kTile;
    }
#pragma GCC unroll 8
    for (int i = 0; i < V::kColumns; ++i) V::Store(l + group + i * V::kLanes, sum[i]);
  }
}

// out[d][lane] = factor[lane] out[d][lane] + sum over the step's units of x[d][unit] .
// p[unit][lane].
template <class V>
[[gnu::noinline]] void Accumulate(const UnitMatrix& x, const Step& step, const float* p, int dim,
                                  const float* factor, float* out) {
  using F = typename V::F;
  ForEachRun(dim, [&](auto size, int d) {
    constexpr int R = decltype(size)::value;
    for (int group = 0; group < kTile; group += kColumnGroup<V>) {
      F sum[R][V::kColumns];
#pragma GCC unroll 32
      for (int i = 0; i < R * V::kColumns; ++i) sum[i / V::kColumns][i % V::kColumns] = V::Zero();
      for (int n = 0; n < step.count; ++n) {
        const Segment& segment = step.segments[n];
        const int64_t unit = segment.key / V::kUnitValues;
        MultiplyAdd<V, Adjacent::kRows, R>(sum, x.data + unit * x.unit_bytes + 4 * d, x.unit_bytes,
                                           p + segment.row / V::kUnitValues * kTile + group,
                                           Units<V>(segment.count));
      }
#pragma GCC unroll 8
      for (int c = 0; c < V::kColumns; ++c) {
        const F f = V::Load(factor + group + c * V::kLanes);
        float* column = out + d * kTile + group + c * V::kLanes;
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r) {
          V::Store(column + r * kTile, V::Fma(V::Load(column + r * kTile), f, sum[r][c]));
        }
      }
    }
  });
}

template <class V>
constexpr int PaddedDim(int dim) {
  return (dim + V::kLanes - 1) / V::kLanes * V::kLanes;
}

// What one tile of a group carries from step to step.
struct TileState {
  float* q;                    // [unit][lane]
  float* o;                    // [dimension][lane], not yet divided by l
  alignas(64) float m[kTile];  // base 2
  alignas(64) float l[kTile];
  int64_t first_bound;  // the last key that lane 0 sees
};

template <class V>
constexpr int TileFloats(int dim) {
  return (PaddedUnits<V>(dim) + PaddedDim<V>(dim)) * kTile;
}

template <class V>
size_t AttendScratch(int dim) {
  return sizeof(float) * static_cast<size_t>(kGroupTiles * TileFloats<V>(dim) + kStepKeys * kTile +
                                             V::kLanes * PaddedDim<V>(dim));
}

template <class V>
void AttendStep(const AttendHead& head, const Step& step, TileState& tile, float* s) {
  using F = typename V::F;
  const float c = head.scale * kLog2E;
  alignas(64) float max[kTile], reference[kTile], alpha[kTile];
  Scores<V>(head.k, step, tile.q, Units<V>(head.dim), s, max);
  if (step.masked) MaskScores<V>(step, tile.first_bound, s, max);
  for (int lane = 0; lane < kTile; lane += V::kLanes) {
    const F old = V::Load(tile.m + lane);
    const F top = V::Max(V::Mul(V::Load(max + lane), V::Set1(c)), old);
    // Without any key yet, subtracting -infinity would make NaN of the masked scores.
    const F finite = V::ReplaceEqual(top, V::Set1(kMinusInfinity), V::Zero());
    const F factor = Exp2<V, 6>(V::Sub(old, finite));
    V::Store(tile.m + lane, top);
    V::Store(reference + lane, finite);
    V::Store(alpha + lane, factor);
    V::Store(tile.l + lane, V::Mul(V::Load(tile.l + lane), factor));
  }
  Weights<V>(step.rows, c, reference, s, tile.l);
  Accumulate<V>(head.v, step, s, head.dim, alpha, tile.o);
}

template <class V, class Input>
void Attend(const AttendHead& head, const AttendGroup& group, void* scratch) {
  float* s = static_cast<float*>(scratch);
  float* stage = s + kStepKeys * kTile;
  float* next = stage + V::kLanes * PaddedDim<V>(head.dim);
  const int tiles = (group.rows + kTile - 1) / kTile;
  TileState state[kGroupTiles];
  const auto rows_of = [&](int t) {
    return group.rows - t * kTile < kTile ? group.rows - t * kTile : kTile;
  };
  for (int t = 0; t < tiles; ++t) {
    TileState& tile = state[t];
    tile.q = next;
    tile.o = next + PaddedUnits<V>(head.dim) * kTile;
    next += TileFloats<V>(head.dim);
    for (int lane = 0; lane < kTile; ++lane) {
      tile.m[lane] = kMinusInfinity;
      tile.l[lane] = 0.0f;
    }
    tile.first_bound = group.first + t * kTile + head.shift;
    PackLanes<V, Input>(group.q.from(t * kTile), rows_of(t), head.dim, stage, tile.q);
    std::memset(tile.o, 0, sizeof(float) * static_cast<size_t>(head.dim * kTile));
  }

  const int64_t first_bound = state[0].first_bound;
  ForEachStep<V>(group.blocks, head.block_k, head.n_k, head.causal, first_bound,
                 first_bound + group.rows - 1, [&](const Step& step) {
                   for (int t = 0; t < tiles; ++t) AttendStep<V>(head, step, state[t], s);
                 });

  for (int t = 0; t < tiles; ++t) {
    const TileState& tile = state[t];
    alignas(64) float factor[kTile];
    for (int lane = 0; lane < kTile; ++lane) {
      factor[lane] = tile.l[lane] == 0.0f ? 0.0f : 1.0f / tile.l[lane];
    }
    UnpackLanes<V, Input>(tile.o, factor, rows_of(t), head.dim, stage, group.o.from(t * kTile));
    for (int i = 0; group.lse != nullptr && i < rows_of(t); ++i) {
      const double lse = kLn2 * double{tile.m[i]} + double{::logf(tile.l[i])};
      group.lse[(t * kTile + i) * group.lse_stride] =
          tile.l[i] == 0.0f ? kMinusInfinity : static_cast<float>(lse);
    }
  }
}

}  // namespace
}  // namespace suffice::cpu
