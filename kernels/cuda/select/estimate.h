// SPDX-License-Identifier: Apache-2.0
// The choice of a row's blocks by estimated masses, wherever the estimate leaves no doubt; exactly
// what choose.h would choose, in fewer instructions. The search begins as it does there, and ends
// by sorting what is undecided.
//
// A row's largest score weighs 1. An estimate and the stated mass (kernels/select_rule.h) differ by
//   5.6e-6 of the whole at most, but for a factor that all estimates of a row share: score - max
//   comes to the hardware's exponential with one rounding, 0.7e-6 where it is -22, below which
//   nothing weighs, and 0.2e-6 from a rounded log2 e; that exponential and the stated one are off
//   by 3e-7; a lane adds 40 weights in fp32, 2.4e-6; a goal is rounded, 1e-7; and, in units of
//   2^-21: by half a unit a lane, rounded before lanes are added, and by 7, because 4096 stated
//   weights were rounded to multiples of 2^-30.
// A mass is compared with a share of the whole, which is off by as much once more.
#pragma once

#include "kernels/cuda/select/choose.h"

namespace suffice::cuda {

inline constexpr float kMassUnit = 0x1p-21f;

// What is nearer than this is in doubt: 1.5e-5 of the whole, and 48 units a warp.
template <int kWarps>
__device__ uint32_t DoubtOf(uint64_t whole) {
  return static_cast<uint32_t>(whole >> 16) + 48 * kWarps;
}

// Weights of a row, all by one factor off: `shift` is the largest score times log2 e, rounded,
// which is off by at most 2^-4 where scores are weighed at all. A NaN for a NaN.
__device__ inline float EstimatedWeight(float score, float shift) {
  float weight;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(weight) : "f"(fmaf(score, 0x1.715476p+0f, -shift)));
  return weight;
}
inline constexpr float kMostWeighed = 0x1p20f;
__device__ inline uint32_t MassUnits(float mass) { return __float2uint_rn(mass * 0x1p21f); }

// What the lanes' scores that are at least a threshold come to.
struct LaneTally {
  float count = 0.0f;  // exact, and added to without waiting for comparisons
  float mass = 0.0f;
};

// A warp's scores in descending order, score n in score[n % 4] of lane n / 4: a bitonic sort.
//
// A lane whose part in a step is to take the smaller, or whose run rises, holds its scores negated:
// then all take the larger of what they hold and the negated other, and all runs fall. A negation
// is a product, which costs less than a choice; those of one step and the next are one.
__device__ inline void SortDescending(float (&score)[4]) {
  const int lane = LaneId();
  int negated = 0;  // an odd number of the lane's bits in this: it holds its scores negated
  const auto negate = [&](int bits) {
    const int change = negated ^ bits;
    if (change == 0) return;
    const uint32_t odd = static_cast<uint32_t>(__popc(lane & change));
    const float sign = __uint_as_float(0x3F800000u | odd << 31);
#pragma unroll
    for (float& x : score) x *= sign;
    negated = bits;
  };
#pragma unroll
  for (int run = 2; run <= kUndecided; run *= 2) {
    const int rises = run / 4 & 31;  // the lane's bit that says so
#pragma unroll
    for (int apart = run / 2; apart > 0; apart /= 2) {
      if (apart >= 4) {
        negate(rises ^ (apart / 4));
#pragma unroll
        for (float& x : score) x = fmaxf(x, -__shfl_xor_sync(kAllLanes, x, apart / 4));
        continue;
      }
      negate(rises);
#pragma unroll
      for (int n = 0; n < 4; ++n) {
        if ((n & apart) != 0) continue;
        const bool falls = run > 2 || (n & 2) == 0;
        const float a = score[n], b = score[n + apart];
        score[n] = falls ? fmaxf(a, b) : fminf(a, b);
        score[n + apart] = falls ? fminf(a, b) : fmaxf(a, b);
      }
    }
  }
}

// Ends the search among the undecided scores, by every warp on its own; false where in doubt.
template <bool kMass>
__device__ bool FinishSorted(const Bracket& bracket, const float4* undecided, const Tally& goal,
                             uint32_t doubt, float shift, Cut& cut) {
  const Tally above = bracket.at_high();
  const int count = static_cast<int>(bracket.inside());
  const int lane = LaneId();
  const float4 loaded = undecided[lane];
  float score[4] = {loaded.x, loaded.y, loaded.z, loaded.w};
#pragma unroll
  for (int n = 0; n < 4; ++n) {
    if (4 * lane + n >= count) score[n] = -INFINITY;
  }
  SortDescending(score);

  float mass[4];  // of the prefix that ends with this score
  if constexpr (kMass) {
    float sum = 0.0f;
#pragma unroll
    for (int n = 0; n < 4; ++n) mass[n] = sum += EstimatedWeight(score[n], shift);
    float up_to = sum;
#pragma unroll
    for (int step = 1; step < 32; step *= 2) {
      const float before = __shfl_up_sync(kAllLanes, up_to, step);
      if (lane >= step) up_to += before;
    }
    float before = __shfl_up_sync(kAllLanes, up_to, 1);
    before = (lane > 0 ? before : 0.0f) + static_cast<float>(above.mass) * kMassUnit;
#pragma unroll
    for (int n = 0; n < 4; ++n) mass[n] += before;
  }
  const float wanted = static_cast<float>(goal.mass) * kMassUnit;
  const float margin = static_cast<float>(doubt) * kMassUnit;
  uint32_t short_of = 0;  // prefixes that do not reach the goal
  bool doubtful = false;
#pragma unroll
  for (int n = 0; n < 4; ++n) {
    const int at = 4 * lane + n;
    bool reached = above.count + static_cast<uint32_t>(at) + 1 >= goal.count;
    if constexpr (kMass) {
      if (goal.mass > 0 && reached && at < count) {
        doubtful = doubtful || fabsf(mass[n] - wanted) <= margin;
        reached = mass[n] >= wanted;
      }
    }
    if (!reached && at < count) ++short_of;
  }
  if constexpr (kMass) {
    if (__any_sync(kAllLanes, doubtful)) return false;
  }
  const int last =
      min(static_cast<int>(__reduce_add_sync(kAllLanes, short_of)), count - 1);  // that is kept
  const float some = last % 4 == 0   ? score[0]
                     : last % 4 == 1 ? score[1]
                     : last % 4 == 2 ? score[2]
                                     : score[3];
  const float threshold = __shfl_sync(kAllLanes, some, last / 4);
  uint32_t larger = 0, equal = 0;
#pragma unroll
  for (int n = 0; n < 4; ++n) {
    if (4 * lane + n >= count) continue;
    larger += score[n] > threshold ? 1 : 0;
    equal += score[n] == threshold ? 1 : 0;
  }
  const uint32_t both = __reduce_add_sync(kAllLanes, larger << 16 | equal);
  const int kept = last + 1 - static_cast<int>(both >> 16);
  cut = {threshold, kept < static_cast<int>(both & 0xFFFF) ? kept : -1};
  return true;
}

// What the kept prefix must hold, its mass to one rounding.
__device__ inline Tally EstimatedGoal(SelectRule rule, SelectSetting setting, int allowed,
                                      uint64_t whole) {
  Tally goal = GoalOf(rule, setting, allowed, 0);
  if (rule != SelectRule::kTopK && setting.p_ppm < kPartsPerMillion) {
    goal.mass =
        __float2ull_rn(static_cast<float>(whole) * (static_cast<float>(setting.p_ppm) * 1e-6f));
  }
  return goal;
}

// The threshold to look at first: a warp's smallest largest score of a lane, which about 130 scores
// of a row reach where they come in no order, or the next larger, which about 100 do. At most
// kUndecided can be sorted at the end, and fewer than are wanted are no help.
template <int kWarps>
__device__ float FirstThreshold(Group<kWarps>& group, float lane_max, bool any, uint32_t wanted,
                                float& max) {
  uint32_t high = OrderKey(lane_max), low = any ? high : ~0u;
  const uint32_t mine = low;
  group.Extremes(high, low);
  if (kWarps == 1 && wanted <= 64) {
    const uint32_t next = __reduce_min_sync(kAllLanes, mine == low ? ~0u : mine);
    low = next == ~0u ? low : next;
  }
  max = ScoreOfKey(high);
  return Bracket::FirstPivot(max, ScoreOfKey(low));
}

// The cut of a row of `allowed` > 0 scores; false where masses are in doubt, and where scores are
// none to be estimated by: NaN, infinite or huge.
template <bool kMass, class Row, int kWarps>
__device__ bool ChooseByEstimate(const Row& row, RowMemory<kWarps>& memory, SelectRule rule,
                                 SelectSetting setting, int allowed, Choice& choice) {
  Group<kWarps> group(memory.group);
  float lane_max = -INFINITY;
  float odd = 0.0f;  // becomes NaN; where there are masses, they do
  row.Each([&](int, float score) {
    lane_max = fmaxf(lane_max, score);
    if constexpr (!kMass) odd = fmaf(score, 0.0f, odd);
  });
  const auto lane_count = static_cast<uint32_t>(row.count());
  float max;
  const float first_pivot =
      FirstThreshold(group, lane_max, lane_count > 0, GoalOf(rule, setting, allowed, 0).count, max);
  if (!(fabsf(max) <= kMostWeighed) || !(first_pivot > kLowestThreshold)) return false;

  const float shift = max * 0x1.715476p+0f;
  const auto look = [&](float pivot, float& whole) {
    LaneTally tally;
    // Hidden from the compiler, which would keep all weights in registers from look to look: few
    // rows are looked at twice.
    float hidden = shift;
    asm volatile("" : "+f"(hidden));
    row.Each([&](int, float score) {
      const float weight = kMass ? EstimatedWeight(score, hidden) : 0.0f;
      if constexpr (kMass) whole += weight;
      if (score >= pivot) {
        tally.count += 1.0f;
        if constexpr (kMass) tally.mass += weight;
      }
    });
    return tally;
  };
  const auto sum = [&](float count, float mass) {
    return group.template Sum<kMass>(Tally{static_cast<uint32_t>(count), MassUnits(mass)});
  };
  float whole = 0.0f;
  LaneTally tally = look(first_pivot, whole);
  const bool sound = kMass ? whole == whole : odd == odd;
  const Tally all = sum(sound ? static_cast<float>(lane_count) : 0.0f, whole);
  if (static_cast<int>(all.count) < allowed) return false;
  const Tally goal = EstimatedGoal(rule, setting, allowed, all.mass);

  const uint32_t doubt = DoubtOf<kWarps>(all.mass);
  Bracket bracket(goal, all, max, first_pivot);
  // This lane's scores from the bracket's ends on.
  float lane_low = static_cast<float>(lane_count), lane_high = 0.0f;
  for (bool first = true; !bracket.done() && bracket.inside() > kUndecided; first = false) {
    if (!first) {
      if (!(bracket.pivot() > kLowestThreshold)) return false;
      tally = look(bracket.pivot(), whole);
    }
    const Tally at_pivot = sum(tally.count, tally.mass);
    if (kMass && goal.mass > 0 && at_pivot.count >= goal.count) {
      const uint64_t low = goal.mass > doubt ? goal.mass - doubt : 0;
      if (low <= at_pivot.mass && at_pivot.mass <= goal.mass + doubt) return false;
    }
    const bool low = bracket.Narrow(at_pivot);
    lane_low = low ? tally.count : lane_low;
    lane_high = low ? lane_high : tally.count;
  }
  if (bracket.done()) {
    // How many of many equal scores are kept may be a matter of their masses.
    if (kMass && goal.mass > 0 && bracket.inside() > 1 && bracket.at_low().count != goal.count) {
      return false;
    }
    choice.cut = bracket.cut();
    return true;
  }
  const auto mine = static_cast<uint32_t>(lane_low - lane_high);
  const uint32_t first_slot = group.Before(mine);
  uint32_t slot = first_slot;
  const float low = fmaxf(bracket.low(), kLowestThreshold), high = bracket.high();
  float* const undecided = reinterpret_cast<float*>(memory.scores);
  if (high > max) {  // as it is unless a look came to too little
    row.Each([&](int, float score) {
      if (score >= low) undecided[slot++] = score;
    });
  } else {
    row.Each([&](int, float score) {
      if (score >= low && !(score >= high)) undecided[slot++] = score;
    });
  }
  if (group.Any(slot != first_slot + mine)) return false;  // scores below any threshold
  return FinishSorted<kMass>(bracket, memory.scores, goal, doubt, shift, choice.cut);
}

}  // namespace suffice::cuda
