// SPDX-License-Identifier: Apache-2.0
// The scores of one row, spread over a group of warps. Each warp has a run of neighbouring scores,
// 32 at a time, one a lane: a comparison of 32 scores is a word of the row's bits.
//
// HeldRow keeps scores and weights in registers; LongRow, for rows that do not fit, reads the
// scores and makes the weights again at every look. Both show a score that does not exist as a NaN:
// no threshold is reached by it and it weighs nothing.
#pragma once

#include "kernels/cuda/select/cut.h"

namespace suffice::cuda {

// kItems (a multiple of 4): scores of a lane at most.
template <int kItems, bool kWeighs>
class HeldRow {
 public:
  static constexpr bool kHasWeights = kWeighs;

  // `count` scores of this warp, from its first one on.
  __device__ HeldRow(const float* scores, int count, int lane) : items_((count + 31) / 32) {
#pragma unroll
    for (int i = 0; i < kItems; ++i) {
      score_[i] = __builtin_nanf("");
      if (32 * i + lane < count) score_[i] = scores[32 * i + lane];
    }
  }

  // body(item, score, weight) of each score.
  template <class Body>
  __device__ void Each(const Body& body) const {
#pragma unroll
    for (int first = 0; first < kItems; first += 4) {
      if (first >= items_) break;
#pragma unroll
      for (int i = first; i < first + 4; ++i) body(i, score_[i], kWeighs ? weight_[i] : 0u);
    }
  }

  // Makes the weights and returns this lane's sum of them.
  __device__ uint64_t Weigh(float max) {
    if constexpr (!kWeighs) return 0;
    if (fabsf(max) <= 0x1.fffffep+127f) {
      return WeighBy([max](float score) { return FiniteWeight(score, max); });
    }
    return WeighBy([max](float score) { return score == max ? kFullWeight : 0u; });
  }

  // put(index of 32 words, the lane's word of them): the bits keep(item, score) of all scores, and
  // zeros for what lies behind them.
  template <class Keep, class Put>
  __device__ void Words(int lane, const Keep& keep, const Put& put) const {
    uint32_t mine[(kItems + 31) / 32] = {};
#pragma unroll
    for (int first = 0; first < kItems; first += 4) {
      if (first >= items_) break;
#pragma unroll
      for (int i = first; i < first + 4; ++i) {
        const uint32_t word = keep(i, score_[i]);
        if (lane == i % 32) mine[i / 32] = word;
      }
    }
#pragma unroll
    for (int n = 0; n < (kItems + 31) / 32; ++n) put(n, mine[n]);
  }

 private:
  template <class Weight>
  __device__ uint64_t WeighBy(const Weight& weight) {
    uint64_t sum = 0;
#pragma unroll
    for (int first = 0; first < kItems; first += 4) {
      if (first >= items_) break;
#pragma unroll
      for (int i = first; i < first + 4; ++i) {
        weight_[i] = weight(score_[i]);
        sum += weight_[i];
      }
    }
    return sum;
  }

  int items_;  // the same in the whole warp
  float score_[kItems];
  uint32_t weight_[kWeighs ? kItems : 1];
};

template <bool kWeighs>
class LongRow {
 public:
  static constexpr bool kHasWeights = kWeighs;

  // `items`: words of this warp, those behind its scores included.
  __device__ LongRow(const float* scores, int count, int items, int lane)
      : scores_(scores), count_(count), items_(items), lane_(lane) {}

  template <class Body>
  __device__ void Each(const Body& body) const {
    for (int i = 0; 32 * i < count_; ++i) {
      const float score = At(i);
      body(i, score, kWeighs ? WeightOf(score, max_) : 0u);
    }
  }

  __device__ uint64_t Weigh(float max) {
    max_ = max;
    uint64_t sum = 0;
    Each([&](int, float, uint32_t weight) { sum += weight; });
    return sum;
  }

  template <class Keep, class Put>
  __device__ void Words(int lane, const Keep& keep, const Put& put) const {
    for (int first = 0; first < items_; first += 32) {
      uint32_t mine = 0;
      for (int i = first; i < min(first + 32, items_); ++i) {
        const uint32_t word = keep(i, At(i));
        if (lane == i - first) mine = word;
      }
      put(first / 32, mine);
    }
  }

 private:
  __device__ float At(int i) const {
    return 32 * i + lane_ < count_ ? scores_[32 * i + lane_] : __builtin_nanf("");
  }

  const float* scores_;
  int count_, items_, lane_;
  float max_ = 0.0f;
};

}  // namespace suffice::cuda
