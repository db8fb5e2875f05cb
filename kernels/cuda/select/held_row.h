// SPDX-License-Identifier: Apache-2.0
// The scores of one row, spread over a group of warps. Each warp has a run of neighbouring scores,
// 32 at a time, one a lane: a comparison of 32 scores is a word of the row's bits.
//
// HeldRow keeps the scores in registers; LongRow, for rows that do not fit or are looked at once
// more, reads them at every look. What a lane shows where no score is, behind the last one, reaches
// no threshold and weighs nothing: a LongRow a NaN, a HeldRow the lowest number, for thresholds
// above kLowestThreshold.
#pragma once

#include <cstdint>

namespace suffice::cuda {

inline constexpr float kNoScore = -0x1.fffffep+127f;
inline constexpr float kLowestThreshold = -0x1p126f;

// kItems (a multiple of 4): scores of a lane at most.
template <int kItems>
class HeldRow {
 public:
  // `count` scores of this warp, from its first one on.
  __device__ HeldRow(const float* scores, int count, int lane)
      : items_((count + 31) / 32), left_(count - lane) {
    const float* const from = scores + lane;
#pragma unroll
    for (int first = 0; first < kItems; first += 4) {
      const bool whole = 32 * (first + 4) <= count;  // without a look at each
#pragma unroll
      for (int i = first; i < first + 4; ++i) {
        if (!whole) score_[i] = kNoScore;
        if (whole || 32 * i < left_) score_[i] = from[32 * i];
      }
    }
  }

  // How many scores this lane has.
  __device__ int count() const { return max(0, (left_ + 31) / 32); }

  // body(item, score) of each score.
  template <class Body>
  __device__ void Each(const Body& body) const {
#pragma unroll
    for (int first = 0; first < kItems; first += 4) {
      if (first >= items_) break;
#pragma unroll
      for (int i = first; i < first + 4; ++i) body(i, score_[i]);
    }
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
  int items_;  // the same in the whole warp
  int left_;   // this lane has score i where 32 i is below
  float score_[kItems];
};

class LongRow {
 public:
  // `items`: words of this warp, those behind its scores included.
  __device__ LongRow(const float* scores, int count, int items, int lane)
      : scores_(scores), count_(count), items_(items), lane_(lane) {}

  template <class Body>
  __device__ void Each(const Body& body) const {
    for (int i = 0; 32 * i < count_; ++i) body(i, At(i));
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
};

}  // namespace suffice::cuda
