// SPDX-License-Identifier: Apache-2.0
// Pooling, scores and selection for one instruction set. The loops of the selection are plain: they
// have no dependence that the compiler could not vectorise.
#pragma once

#include <cstring>

#include "kernels/cpu/pack-inl.h"
#include "kernels/cpu/product-inl.h"
#include "kernels/cpu/select_tile.h"

namespace suffice::cpu {
namespace {

template <class V, class Input, int kVectors>
[[gnu::always_inline]] inline void PoolColumns(const char* x, int64_t stride_bytes, int64_t rows,
                                               float* out) {
  typename V::F sum[kVectors];
#pragma GCC unroll 8
  for (int i = 0; i < kVectors; ++i) sum[i] = V::Zero();
  for (int64_t r = 0; r < rows; ++r) {
    const auto* row = reinterpret_cast<const Input*>(x + r * stride_bytes);
#pragma GCC unroll 8
    for (int i = 0; i < kVectors; ++i) {
      sum[i] = V::Add(sum[i], LoadValues<V>(row + i * V::kLanes));
    }
  }
  const auto count = V::Set1(static_cast<float>(rows));
#pragma GCC unroll 8
  for (int i = 0; i < kVectors; ++i) V::Store(out + i * V::kLanes, V::Div(sum[i], count));
}

template <class V, class Input>
void Pool(Rows x, int64_t rows, int dim, float* out) {
  constexpr int kWide = 8;
  int d = 0;
  const auto at = [&] { return x.data + d * static_cast<int64_t>(sizeof(Input)); };
  for (; d + kWide * V::kLanes <= dim; d += kWide * V::kLanes) {
    PoolColumns<V, Input, kWide>(at(), x.stride_bytes, rows, out + d);
  }
  for (; d + V::kLanes <= dim; d += V::kLanes) {
    PoolColumns<V, Input, 1>(at(), x.stride_bytes, rows, out + d);
  }
  if (d == dim) return;
  float tail[V::kLanes];
  auto sum = V::Zero();
  for (int64_t r = 0; r < rows; ++r) {
    WidenRow<V, Input>(at() + r * x.stride_bytes, dim - d, tail);
    sum = V::Add(sum, V::Load(tail));
  }
  V::Store(tail, V::Div(sum, V::Set1(static_cast<float>(rows))));
  std::memcpy(out + d, tail, static_cast<size_t>(dim - d) * sizeof(float));
}

inline void PackKeys(const float* keys, int64_t stride, int rows, int dim, float* to) {
  for (int d = 0; d < dim; ++d) {
    for (int lane = 0; lane < kTile; ++lane) {
      to[d * kTile + lane] = lane < rows ? keys[lane * stride + d] : 0.0f;
    }
  }
}

template <class V>
void BlockScores(const float* q, int64_t q_stride, int rows, const float* keys, int tiles, int dim,
                 float scale, float* out, int64_t out_stride) {
  const auto factor = V::Set1(scale);
  const int64_t q_bytes = q_stride * static_cast<int64_t>(sizeof(float));
  for (int tile = 0; tile < tiles; ++tile) {
    const float* b = keys + static_cast<int64_t>(tile) * dim * kTile;
    ForEachRun(rows, [&](auto size, int row) {
      constexpr int R = decltype(size)::value;
      constexpr int kGroupLanes = V::kLanes * V::kColumns;
      for (int group = 0; group < kTile; group += kGroupLanes) {
        typename V::F sum[R][V::kColumns];
        Clear(sum, V::Zero());
        MultiplyAdd<V, Adjacent::kUnits, R>(sum, reinterpret_cast<const char*>(q + row * q_stride),
                                            q_bytes, b + group, dim, 0);
        float* to = out + row * out_stride + tile * kTile + group;
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
          for (int c = 0; c < V::kColumns; ++c) {
            V::Store(to + r * out_stride + c * V::kLanes, V::Mul(sum[r][c], factor));
          }
        }
      }
    });
  }
}

inline int64_t CountAtLeast(const uint32_t* keys, int64_t n, uint32_t threshold) {
  uint32_t count = 0;
  for (int64_t j = 0; j < n; ++j) count += keys[j] >= threshold ? 1u : 0u;
  return count;
}

inline uint64_t MassAtLeast(const uint32_t* keys, const uint32_t* weights, int64_t n,
                            uint32_t threshold) {
  uint64_t mass = 0;
  for (int64_t j = 0; j < n; ++j) mass += keys[j] >= threshold ? weights[j] : 0u;
  return mass;
}

// The largest threshold at which `reaches` holds; it holds at 0 and is monotone.
template <class Reaches>
inline uint32_t LargestThreshold(Reaches reaches) {
  uint32_t threshold = 0;
  for (uint32_t bit = 1u << 31; bit != 0; bit >>= 1) {
    if (reaches(threshold | bit)) threshold |= bit;
  }
  return threshold;
}

// Length of top-p's prefix.
inline int64_t TopPLength(const uint32_t* keys, const uint32_t* weights, int64_t n, int32_t p_ppm) {
  if (p_ppm >= kPartsPerMillion) return n;
  const uint64_t target = TopPTarget(p_ppm, MassAtLeast(keys, weights, n, 0));
  if (target == 0) return 1;  // every score is NaN
  const uint32_t threshold =
      LargestThreshold([&](uint32_t t) { return MassAtLeast(keys, weights, n, t) >= target; });
  // Blocks of the threshold's own score weigh the same: as many of them as are still needed. (The
  // largest key is that of +infinity: threshold + 1 does not wrap.)
  const uint64_t above = MassAtLeast(keys, weights, n, threshold + 1);
  int64_t at = 0;
  while (keys[at] != threshold) ++at;
  const uint64_t needed = (target - above + weights[at] - 1) / weights[at];
  return CountAtLeast(keys, n, threshold + 1) + static_cast<int64_t>(needed);
}

inline int64_t SelectRowByThreshold(const float* scores, int64_t allowed, const RowRule& rule,
                                    uint32_t* scratch, uint64_t* keep, bool* nan) {
  uint32_t* keys = scratch;
  uint32_t* weights = scratch + allowed;
  uint32_t nans = 0;
  for (int64_t j = 0; j < allowed; ++j) {
    keys[j] = OrderKey(scores[j]);
    nans |= keys[j] == 0 ? 1u : 0u;
  }
  if (nans != 0) *nan = true;

  int64_t length = rule.rule == SelectRule::kAll ? allowed : 0;
  const bool by_k = rule.rule == SelectRule::kTopK || rule.rule == SelectRule::kHybrid;
  const bool by_p = rule.rule == SelectRule::kTopP || rule.rule == SelectRule::kHybrid;
  if (by_k) length = TopKCount(rule.setting.k_ppm, allowed);
  if (by_p && allowed > 0) {
    float max = -__builtin_inff();
    for (int64_t j = 0; j < allowed; ++j) max = scores[j] > max ? scores[j] : max;
    for (int64_t j = 0; j < allowed; ++j) {
      weights[j] = keys[j] == 0 ? 0u : SelectionWeight(scores[j], max);
    }
    const int64_t by_mass = TopPLength(keys, weights, allowed, rule.setting.p_ppm);
    length = by_mass > length ? by_mass : length;
  }

  // Everything above the threshold, and the first of its ties.
  uint32_t threshold = 0;
  int64_t ties = allowed;
  if (length == 0) {
    ties = 0;
    threshold = ~0u;  // no score has this key
  } else if (length < allowed) {
    threshold =
        LargestThreshold([&](uint32_t t) { return CountAtLeast(keys, allowed, t) >= length; });
    ties = length - CountAtLeast(keys, allowed, threshold + 1);
  }
  int64_t kept = 0;
  for (int64_t first = 0; first < allowed; first += 64) {
    const int64_t count = allowed - first < 64 ? allowed - first : 64;
    uint64_t word = 0;
    for (int64_t j = 0; j < count; ++j) {
      bool keeps = keys[first + j] > threshold;
      if (keys[first + j] == threshold && ties > 0) {
        keeps = true;
        --ties;
      }
      if (rule.given != nullptr) keeps = rule.given[first + j] != 0;
      keeps = keeps || rule.pinned.contains(first + j);
      word |= static_cast<uint64_t>(keeps) << j;
    }
    keep[first / 64] = word;
    kept += __builtin_popcountll(word);
  }
  return kept;
}

template <class V>
constexpr SelectKernels kSelectKernels = {
    .pool_bf16 = &Pool<V, uint16_t>,
    .pool_f32 = &Pool<V, float>,
    .pack_keys = &PackKeys,
    .scores = &BlockScores<V>,
    .select_row = &SelectRowByThreshold,
};

}  // namespace
}  // namespace suffice::cpu
