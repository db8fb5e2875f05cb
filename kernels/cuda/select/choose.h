// SPDX-License-Identifier: Apache-2.0
// The choice of a row's blocks by exact masses: the largest score and all weights first, then the
// search for the cut (cut.h). It begins at the smallest of the lanes' own largest scores: some of
// the largest 32 to 128 or so of a row, which is where most settings cut. Once few scores are
// undecided they are put together, four a lane, and the rest of the search looks at these alone.
#pragma once

#include <cmath>

#include "kernels/cuda/select/group.h"
#include "kernels/cuda/select/held_row.h"

namespace suffice::cuda {

inline constexpr int kUndecidedItems = 4;  // a lane
inline constexpr int kUndecided = 32 * kUndecidedItems;

struct Undecided {
  float score;
  uint32_t weight;
};

template <int kWarps>
struct RowMemory {
  GroupMemory<kWarps> group;
  union {
    Undecided undecided[kUndecided];
    float4 scores[32];  // of kUndecided
  };
};

struct Choice {
  Cut cut;
  bool cut_in_nan = false;  // every score that is not NaN is kept, and cut.ties of the others
  bool any_nan = false;
};

// Ends the search among the undecided scores; every warp on its own, with the same result.
template <bool kMass>
__device__ void Finish(Bracket& bracket, const Undecided* undecided) {
  const Tally above = bracket.at_high();
  const int count = static_cast<int>(bracket.inside());
  Undecided mine[kUndecidedItems];
#pragma unroll
  for (int n = 0; n < kUndecidedItems; ++n) {
    const int at = 32 * n + LaneId();
    mine[n] = at < count ? undecided[at] : Undecided{__builtin_nanf(""), 0};
  }
  while (!bracket.done()) {
    const float pivot = bracket.pivot();
    Tally tally;
#pragma unroll
    for (int n = 0; n < kUndecidedItems; ++n) {
      if (mine[n].score >= pivot) {
        ++tally.count;
        tally.mass += mine[n].weight;
      }
    }
    tally = WarpSum<kMass>(tally);
    bracket.Narrow({above.count + tally.count, above.mass + tally.mass});
  }
}

// The cut of a row of `allowed` > 0 scores. Weights are made at every look.
template <bool kMass, class Row, int kWarps>
__device__ Choice Choose(const Row& row, RowMemory<kWarps>& memory, SelectRule rule,
                         SelectSetting setting, int allowed) {
  Group<kWarps> group(memory.group);
  float lane_max = -INFINITY;
  uint32_t valid = 0;
  row.Each([&](int, float score) {
    lane_max = fmaxf(lane_max, score);
    if (score >= -INFINITY) ++valid;
  });
  uint32_t max_key = OrderKey(lane_max);
  uint32_t pivot_key = valid > 0 ? max_key : ~0u;
  group.Extremes(max_key, pivot_key);
  const float max = ScoreOfKey(max_key);
  // This lane's tally of what reaches a threshold.
  const auto look = [&](float threshold) {
    Tally tally;
    row.Each([&](int, float score) {
      if (score >= threshold) {
        ++tally.count;
        if constexpr (kMass) tally.mass += WeightOf(score, max);
      }
    });
    return tally;
  };
  const Tally all = group.template Sum<kMass>(look(-INFINITY));
  const Tally goal = GoalOf(rule, setting, allowed, all.mass);
  Choice choice;
  choice.any_nan = static_cast<int>(all.count) < allowed;
  if (all.count < goal.count) {
    choice.cut_in_nan = true;
    choice.cut = {-INFINITY, static_cast<int>(goal.count - all.count)};
    return choice;
  }

  Bracket bracket(goal, all, max, ScoreOfKey(pivot_key));
  uint32_t lane_low = valid, lane_high = 0;  // this lane's scores from the bracket's ends on
  while (!bracket.done() && bracket.inside() > kUndecided) {
    const Tally tally = look(bracket.pivot());
    const bool low = bracket.Narrow(group.template Sum<kMass>(tally));
    lane_low = low ? tally.count : lane_low;
    lane_high = low ? lane_high : tally.count;
  }
  if (!bracket.done()) {
    uint32_t slot = group.Before(lane_low - lane_high);
    const float low = bracket.low(), high = bracket.high();
    row.Each([&](int, float score) {
      if (score >= low && !(score >= high)) {
        memory.undecided[slot++] = {score, kMass ? WeightOf(score, max) : 0};
      }
    });
    group.Sync();
    Finish<kMass>(bracket, memory.undecided);
  }
  choice.cut = bracket.cut();
  return choice;
}

}  // namespace suffice::cuda
