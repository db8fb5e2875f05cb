// SPDX-License-Identifier: Apache-2.0
// The one matrix product under everything: C[r][lane] = sum_u A[r][u] . B[u][lane], A broadcast
// unit by unit, B packed with kTile lanes a row. A tile of 6 x kColumns accumulators stays in
// registers.
#pragma once

#include "kernels/cpu/attention_tile.h"

namespace suffice::cpu {
namespace {

// Which side of A is adjacent in memory, so that its step is a constant in the address.
enum class Adjacent { kUnits, kRows };

template <class F, int R, int C>
[[gnu::always_inline]] inline void Clear(F (&sum)[R][C], F zero) {
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
    for (int c = 0; c < C; ++c) sum[r][c] = zero;
  }
}

// Into the second-level cache. `bytes` may lead to another object, or nowhere.
[[gnu::always_inline]] inline void PrefetchAt(const char* p, int64_t bytes) {
  __builtin_prefetch(reinterpret_cast<const void*>(reinterpret_cast<intptr_t>(p) + bytes), 0, 2);
}

// sum += A b over `units` units; a is unit 0 of row 0, `step` the bytes to the next row or unit,
// whichever is not adjacent. The lines that lie `ahead` bytes beyond those being read are
// prefetched into the second-level cache, evenly in time: a burst would hold up the loads of this
// product.
template <class V, Adjacent kAdjacent, int R>
[[gnu::always_inline]] inline void MultiplyAdd(typename V::F (&sum)[R][V::kColumns], const char* a,
                                               int64_t step, const float* b, int units,
                                               int64_t ahead) {
  constexpr int C = V::kColumns;
  // Every 16 units a row goes on to its next line; without anything ahead, only at 0.
  const int line_units = ahead == 0 ? ~0 : 15;
  for (int u = 0; u < units; ++u) {
    if constexpr (kAdjacent == Adjacent::kUnits) {
      if ((u & line_units) == 0) {
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r) PrefetchAt(a + r * step, ahead);
      }
    } else {
      PrefetchAt(a, ahead);
    }
    typename V::F column[C];
#pragma GCC unroll 8
    for (int c = 0; c < C; ++c) column[c] = V::Load(b + c * V::kLanes);
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      const auto value = V::BroadcastUnit(kAdjacent == Adjacent::kRows ? a + 4 * r : a + r * step);
#pragma GCC unroll 8
      for (int c = 0; c < C; ++c) sum[r][c] = V::Dot(sum[r][c], value, column[c]);
    }
    a += kAdjacent == Adjacent::kRows ? step : 4;
    b += kTile;
  }
}

// Cuts `rows` into runs of at most 6, none much shorter than the others (a short run leaves too few
// independent sums to hide the latency of the dot product) and all but the last even (so that rows
// of pairs stay in one run), and calls f(Size<R>{}, first row) for each.
template <int N>
struct Size {
  static constexpr int value = N;
};
template <class F>
[[gnu::always_inline]] inline void ForEachRun(int rows, F f) {
  int row = 0;
  for (; rows - row >= 10; row += 6) f(Size<6>{}, row);
  while (row < rows) {
    const int left = rows - row;
    const int run = left > 6 ? (left + 3) / 4 * 2 : left;
    switch (run) {
      case 6:
        f(Size<6>{}, row);
        break;
      case 5:
        f(Size<5>{}, row);
        break;
      case 4:
        f(Size<4>{}, row);
        break;
      case 3:
        f(Size<3>{}, row);
        break;
      case 2:
        f(Size<2>{}, row);
        break;
      default:
        f(Size<1>{}, row);
        break;
    }
    row += run;
  }
}

}  // namespace
}  // namespace suffice::cpu
