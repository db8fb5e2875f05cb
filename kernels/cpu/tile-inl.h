// SPDX-License-Identifier: Apache-2.0
// What the forward and backward passes share: walking a list of blocks in steps of S's rows, S
// itself, hiding its causal part, and accumulating a product with what S has become.
//
// The rows of S are keys and its lanes queries, or in the second half of the backward pass the
// other way round.
#pragma once

#include <limits>

#include "kernels/cpu/pack-inl.h"
#include "kernels/cpu/product-inl.h"
#include "kernels/cpu/softmax-inl.h"

namespace suffice::cpu {
namespace {

constexpr float kLog2E = 1.44269504f;
constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

template <class V>
constexpr int kColumnGroup = V::kLanes* V::kColumns;  // lanes of one run of accumulators

template <class V>
constexpr int PaddedDim(int dim) {
  return (dim + V::kLanes - 1) / V::kLanes * V::kLanes;
}

// Consecutive tokens of one block within a step; they are rows [row, row + count) of S.
struct Segment {
  int64_t token;
  int count;
  int row;
};

struct Step {
  Segment segments[kStepRows / 2];
  int count = 0;
  int rows = 0;  // of S, in whole units
  bool masked = false;
};

// The tokens of listed blocks that lie in [begin, end), begin even. Where `causal`, rows on the
// hidden side of `free` must be masked: those after it if rows are keys, those before it if they
// are queries.
struct RowWalk {
  BlockList blocks;
  int block;
  int64_t begin;
  int64_t end;
  bool causal;
  bool rows_are_keys;
  int64_t free;
};

// Cuts the walk into steps and calls f(step, next) for each; next is null at the last.
template <class V, class F>
[[gnu::always_inline]] inline void ForEachStep(const RowWalk& walk, F f) {
  Step steps[2];
  int filling = 0;
  bool waiting = false;  // the other step is complete
  for (int64_t n = 0; n < walk.blocks.count; ++n) {
    int64_t token = walk.blocks.at(n) * walk.block;
    const int64_t end = token + walk.block < walk.end ? token + walk.block : walk.end;
    if (token < walk.begin) token = walk.begin;
    for (; token < end; token += kStepRows) {
      const int count = static_cast<int>(end - token < kStepRows ? end - token : kStepRows);
      if (steps[filling].rows + count > kStepRows) {
        if (waiting) f(steps[1 - filling], &steps[filling]);
        waiting = true;
        filling = 1 - filling;
        steps[filling].count = 0;
        steps[filling].rows = 0;
        steps[filling].masked = false;
      }
      Step& step = steps[filling];
      step.segments[step.count++] = {token, count, step.rows};
      step.rows += Units<V>(count) * V::kUnitValues;
      if (walk.causal) {
        const bool hidden = walk.rows_are_keys ? token + count - 1 > walk.free : token < walk.free;
        step.masked = step.masked || hidden;
      }
    }
  }
  if (waiting) f(steps[1 - filling], &steps[filling]);
  if (steps[filling].count > 0) f(steps[filling], static_cast<const Step*>(nullptr));
}

// The first blocks of a list that may belong to another walk, as a step to prefetch: its segments
// have only tokens.
inline Step FirstStep(const BlockList& blocks, int block) {
  Step step;
  for (int64_t n = 0; n < blocks.count && step.rows < kStepRows; ++n, step.rows += block) {
    step.segments[step.count++].token = blocks.at(n) * block;
  }
  return step;
}

// What a product prefetches while it reads a step of its own matrix: rows of a matrix of the same
// row_bytes at `data`, those of `step` from segment `first` on, one segment for each that it reads,
// or where `step` is null row r for row r of S. Blocks lie anywhere, and the hardware's own
// prefetching starts anew on each of their pages.
struct Ahead {
  const char* data = nullptr;  // null: nothing
  const Step* step = nullptr;
  int first = 0;

  // From where segment n of `current` lies in the product's matrix to there.
  int64_t Bytes(const char* matrix, const Step& current, int n, int tokens,
                int64_t row_bytes) const {
    if (data == nullptr || (step != nullptr && first + n >= step->count)) return 0;
    const Segment& segment = current.segments[n];
    const int64_t token = step != nullptr ? step->segments[first + n].token : segment.row;
    return (reinterpret_cast<intptr_t>(data) - reinterpret_cast<intptr_t>(matrix)) +
           (token - segment.token) / tokens * row_bytes;
  }
};

// The rows of the next step, where there is one.
inline Ahead AheadOf(const UnitMatrix& matrix, const Step* next) {
  return next == nullptr ? Ahead{} : Ahead{matrix.data, next};
}

// s[row][lane] = rows of the step x the packed lanes b[unit][lane]; rows that only fill a unit up
// are -infinity. Where `max` is given, max[lane] is the maximum over the rows.
template <class V, bool kMax>
void Scores(const UnitMatrix& rows, const Step& step, const Ahead& ahead, const float* b, int units,
            float* s, float* max) {
  using F = typename V::F;
  for (int lane = 0; kMax && lane < kTile; lane += V::kLanes) {
    V::Store(max + lane, V::Set1(kMinusInfinity));
  }
  for (int n = 0; n < step.count; ++n) {
    const Segment& segment = step.segments[n];
    const char* first = rows.data + segment.token * rows.row_bytes;
    float* out = s + segment.row * kTile;
    const int64_t ahead_bytes = ahead.Bytes(rows.data, step, n, 1, rows.row_bytes);
    ForEachRun(segment.count, [&](auto size, int row) {
      constexpr int R = decltype(size)::value;
      for (int group = 0; group < kTile; group += kColumnGroup<V>) {
        F sum[R][V::kColumns];
        Clear(sum, V::Zero());
        MultiplyAdd<V, Adjacent::kUnits, R>(sum, first + row * rows.row_bytes, rows.row_bytes,
                                            b + group, units, group == 0 ? ahead_bytes : 0);
#pragma GCC unroll 8
        for (int c = 0; c < V::kColumns; ++c) {
          float* column = out + row * kTile + group + c * V::kLanes;
#pragma GCC unroll 8
          for (int r = 0; r < R; ++r) V::Store(column + r * kTile, sum[r][c]);
          if constexpr (kMax) {
            float* top = max + group + c * V::kLanes;
            F highest = V::Load(top);
#pragma GCC unroll 8
            for (int r = 0; r < R; ++r) highest = V::Max(highest, sum[r][c]);
            V::Store(top, highest);
          }
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

// Scores of pairs that the causal mask hides become -infinity. bound[lane] is the last visible key
// of the lane's query if rows are keys, the first query that sees the lane's key otherwise.
// Positions are below 2^24 and so exact in fp32.
template <class V, bool kRowsAreKeys>
void HideScores(const Step& step, const float* bound, float* s) {
  for (int n = 0; n < step.count; ++n) {
    const Segment& segment = step.segments[n];
    for (int row = 0; row < segment.count; ++row) {
      const auto position = V::Set1(static_cast<float>(segment.token + row));
      float* out = s + (segment.row + row) * kTile;
      for (int lane = 0; lane < kTile; lane += V::kLanes) {
        const auto limit = V::Load(bound + lane);
        V::Store(out + lane, kRowsAreKeys ? V::ReplaceLess(V::Load(out + lane), limit, position,
                                                           V::Set1(kMinusInfinity))
                                          : V::ReplaceLess(V::Load(out + lane), position, limit,
                                                           V::Set1(kMinusInfinity)));
      }
    }
  }
}

template <class V>
void MaxOverRows(int rows, const float* s, float* max) {
  for (int lane = 0; lane < kTile; lane += V::kLanes) {
    auto top = V::Set1(kMinusInfinity);
    for (int row = 0; row < rows; ++row) top = V::Max(top, V::Load(s + row * kTile + lane));
    V::Store(max + lane, top);
  }
}

// out[d][lane] = factor[lane] out[d][lane] + sum over the step's units of x[d][unit] .
// p[unit][lane]; without factors, 1.
template <class V, bool kFactor>
void Accumulate(const UnitMatrix& x, const Step& step, const Ahead& ahead, const float* p, int dim,
                const float* factor, float* out) {
  using F = typename V::F;
  ForEachRun(dim, [&](auto size, int d) {
    constexpr int R = decltype(size)::value;
    const bool begins_line = d % 16 == 0 || d / 16 != (d + R - 1) / 16;
    for (int group = 0; group < kTile; group += kColumnGroup<V>) {
      F sum[R][V::kColumns];
      Clear(sum, V::Zero());
      for (int n = 0; n < step.count; ++n) {
        const Segment& segment = step.segments[n];
        const int64_t unit = segment.token / V::kUnitValues;
        // Of the lines that this run reads, the one that begins in it.
        int64_t ahead_bytes = 0;
        if (group == 0 && begins_line) {
          ahead_bytes = ahead.Bytes(x.data, step, n, V::kUnitValues, x.unit_bytes) + 4 * (R - 1);
        }
        MultiplyAdd<V, Adjacent::kRows, R>(sum, x.data + unit * x.unit_bytes + 4 * d, x.unit_bytes,
                                           p + segment.row / V::kUnitValues * kTile + group,
                                           Units<V>(segment.count), ahead_bytes);
      }
#pragma GCC unroll 8
      for (int c = 0; c < V::kColumns; ++c) {
        float* column = out + d * kTile + group + c * V::kLanes;
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r) {
          const F old = V::Load(column + r * kTile);
          if constexpr (kFactor) {
            const F f = V::Load(factor + group + c * V::kLanes);
            V::Store(column + r * kTile, V::Fma(old, f, sum[r][c]));
          } else {
            V::Store(column + r * kTile, V::Add(old, sum[r][c]));
          }
        }
      }
    }
  });
}

}  // namespace
}  // namespace suffice::cpu
