// SPDX-License-Identifier: Apache-2.0
// Where a row's order is cut, without sorting it.
//
// Top-k, top-p and hybrid keep a prefix of one descending order (kernels/select_rule.h): the
// shortest that holds a number of blocks and a mass. How many scores are at least t, and what they
// weigh, falls as t rises; so the cut is found by looking at a few thresholds, between one at which
// both goals are reached and one at which they are not. Which thresholds are looked at changes
// nothing but the time: at the end no score, one score or one value lies between the two.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

#include "kernels/select_rule.h"

namespace suffice::cuda {

// Of the scores that are at least some threshold; or what the kept prefix must reach.
struct Tally {
  uint32_t count = 0;
  uint64_t mass = 0;
};

// The kept prefix: all scores >= threshold where ties < 0, else all above it and the first `ties`
// that equal it.
struct Cut {
  float threshold;
  int ties;
};

// The score that has this key (OrderKey); keys of no score give a NaN, which nothing reaches.
SUFFICE_SHARED_INLINE float ScoreOfKey(uint32_t key) {
  return std::bit_cast<float>((key >> 31) != 0 ? key ^ 0x80000000u : ~key);
}

// SelectionWeight for a finite `max` and any score up to it, in half the instructions. Below -87
// nothing is left of 2^30 E(x) either way, so clamping is enough, and it takes a NaN with it.
// 2^30 joins the polynomial before the exponent is added: a product with a power of two is exact,
// also where it becomes part of an fma. Rounding to nearest even is what the conversion does.
SUFFICE_SHARED_INLINE uint32_t FiniteWeight(float score, float max) {
  const float x = fmaxf(score - max, -87.0f);
  const float t = fmaf(x, 0x1.715476p+0f, 0x1.8p+23f);
  const float n = t - 0x1.8p+23f;
  float r = fmaf(n, -0x1.62e400p-1f, x);
  r = fmaf(n, -0x1.7f7d1cp-20f, r);
  float p = 0x1.709b64p-10f;
  p = fmaf(p, r, 0x1.12903ep-7f);
  p = fmaf(p, r, 0x1.55515ep-5f);
  p = fmaf(p, r, 0x1.5553c2p-3f);
  p = fmaf(p, r, 0x1.000002p-1f);
  p = fmaf(p, r, 1.0f);
  p = fmaf(p, r, 1.0f);
  const uint32_t bits = std::bit_cast<uint32_t>(p * 0x1p30f) + (std::bit_cast<uint32_t>(t) << 23);
  const float w = std::bit_cast<float>(bits);
#ifdef __CUDA_ARCH__
  return __float2uint_rn(w);
#else
  return static_cast<uint32_t>(std::lrint(w));
#endif
}

// The weight by the rule: a score weighs in full where it equals an infinite maximum, and nothing
// else does.
SUFFICE_SHARED_INLINE uint32_t WeightOf(float score, float max) {
  if (fabsf(max) <= 0x1.fffffep+127f) return FiniteWeight(score, max);
  return score == max ? kFullWeight : 0u;
}

// The search. Goal and tallies are over the scores that are not NaN; all of them together must
// reach the goal, which is at least one block.
class Bracket {
 public:
  SUFFICE_SHARED_INLINE Bracket(Tally goal, Tally all, float max, float first_pivot)
      : goal_(goal),
        at_low_(all),
        low_(OrderKey(-__builtin_inff())),
        high_(OrderKey(max) + 1),
        pivot_(Clamp(OrderKey(first_pivot), low_, high_)),
        reach_(max - first_pivot) {}

  // The threshold that is looked at first, known before any tally.
  SUFFICE_SHARED_INLINE static float FirstPivot(float max, float first_pivot) {
    return ScoreOfKey(Clamp(OrderKey(first_pivot), OrderKey(-__builtin_inff()), OrderKey(max) + 1));
  }

  SUFFICE_SHARED_INLINE bool done() const {
    return at_low_.count == goal_.count || inside() == 1 || high_ - low_ == 1;
  }
  // Scores that are not decided yet: those in [low, high).
  SUFFICE_SHARED_INLINE uint32_t inside() const { return at_low_.count - at_high_.count; }
  SUFFICE_SHARED_INLINE float low() const { return ScoreOfKey(low_); }
  SUFFICE_SHARED_INLINE float high() const { return ScoreOfKey(high_); }
  SUFFICE_SHARED_INLINE Tally at_low() const { return at_low_; }
  SUFFICE_SHARED_INLINE Tally at_high() const { return at_high_; }

  // The threshold to look at next, until done.
  SUFFICE_SHARED_INLINE float pivot() const { return ScoreOfKey(pivot_); }

  // Takes the tally at the pivot; true if it reached the goal, so that the pivot is the new low.
  SUFFICE_SHARED_INLINE bool Narrow(Tally at_pivot) {
    const bool reached = at_pivot.count >= goal_.count && at_pivot.mass >= goal_.mass;
    if (reached) {
      low_ = pivot_;
      at_low_ = at_pivot;
    } else {
      high_ = pivot_;
      at_high_ = at_pivot;
    }
    if (!done()) pivot_ = Clamp(Next(), low_, high_);
    return reached;
  }

  SUFFICE_SHARED_INLINE Cut cut() const {
    const uint32_t ties = inside();
    if (at_low_.count == goal_.count || ties == 1) return {low(), -1};
    // One value, `ties` times; its blocks weigh the same.
    uint32_t needed = goal_.count > at_high_.count ? goal_.count - at_high_.count : 0u;
    if (goal_.mass > at_high_.mass) {
      const uint64_t weight = (at_low_.mass - at_high_.mass) / ties;
      const uint64_t by_mass = (goal_.mass - at_high_.mass + weight - 1) / weight;
      needed = by_mass > needed ? static_cast<uint32_t>(by_mass) : needed;
    }
    return {low(), needed < ties ? static_cast<int>(needed) : -1};
  }

 private:
  // After so many looks at values the keys are halved: 32 more at most, whatever the scores are.
  static constexpr int kValueLooks = 20;

  SUFFICE_SHARED_INLINE static float Share(float part, float whole) {
#ifdef __CUDA_ARCH__
    return __fdividef(part, whole);
#else
    return part / whole;
#endif
  }

  // By turns where a straight line between the two tallies meets the goal, and half way.
  SUFFICE_SHARED_INLINE uint32_t Next() {
    if (++looks_ > kValueLooks) return low_ + (high_ - low_) / 2;
    const float high = ScoreOfKey(high_);
    if (low_ == OrderKey(-__builtin_inff())) {  // nothing is known below yet: stride out
      reach_ = 2.0f * reach_ + 0x1p-10f * fabsf(high) + 0x1p-100f;
      return OrderKey(high - reach_);
    }
    const float low = ScoreOfKey(low_);
    float share = 0.5f;
    if (looks_ % 2 != 0) {
      share = 0.0f;
      if (goal_.count > at_high_.count) {
        share =
            Share(static_cast<float>(goal_.count - at_high_.count), static_cast<float>(inside()));
      }
      if (goal_.mass > at_high_.mass) {
        share = fmaxf(share, Share(static_cast<float>(goal_.mass - at_high_.mass),
                                   static_cast<float>(at_low_.mass - at_high_.mass)));
      }
    }
    return OrderKey(high * (1.0f - share) + low * share);
  }

  SUFFICE_SHARED_INLINE static uint32_t Clamp(uint32_t key, uint32_t low, uint32_t high) {
    key = key > low ? key : low + 1;
    return key < high ? key : high - 1;
  }

  Tally goal_;
  Tally at_low_, at_high_;
  uint32_t low_, high_, pivot_;
  float reach_;
  int looks_ = 0;
};

// What the kept prefix of `allowed` blocks must hold; `total` is the mass of them all.
SUFFICE_SHARED_INLINE Tally GoalOf(SelectRule rule, SelectSetting setting, int allowed,
                                   uint64_t total) {
  Tally goal{1, 0};
  if (rule != SelectRule::kTopP) {
    goal.count = static_cast<uint32_t>(TopKCount(setting.k_ppm, allowed));
  }
  if (rule != SelectRule::kTopK) {
    if (setting.p_ppm >= kPartsPerMillion) {
      goal.count = static_cast<uint32_t>(allowed);
    } else {
      goal.mass = TopPTarget(setting.p_ppm, total);
    }
  }
  return goal;
}

}  // namespace suffice::cuda
