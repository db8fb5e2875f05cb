// SPDX-License-Identifier: Apache-2.0
// What the CUDA masker shares with the host: the search for the cut against the rule as it reads,
// its weights, what it knows of a row, and how it divides a selection. None of it needs a GPU.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/cuda/select/cut.h"
#include "kernels/cuda/select/geometry.h"
#include "kernels/cuda/select/plan.h"
#include "lib/base/philox.h"

namespace suffice::cuda {
namespace {

constexpr uint64_t kSeed = 11;
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kMost = std::numeric_limits<float>::max();

TEST(SelectCut, WeighsAsTheRuleDoes) {
  for (const float max : {0.0f, 3.5f, -17.0f, 1e30f}) {
    for (uint64_t i = 0; i < 200'000; ++i) {
      const float score = max - 90.0f * UniformAt(kSeed, 0, i) * UniformAt(kSeed, 1, i);
      ASSERT_EQ(FiniteWeight(score, max), SelectionWeight(score, max)) << score;
    }
  }
  for (const float max : {0.0f, kMost, kInf, -kInf}) {
    for (const float score : {max, -kInf, std::min(max, -kMost)}) {
      EXPECT_EQ(WeightOf(score, max), SelectionWeight(score, max)) << score << " of " << max;
    }
    EXPECT_EQ(WeightOf(kNan, max), 0u);
  }
}

TEST(SelectCut, KeysGiveTheirScoresBack) {
  for (const float x : {kInf, kMost, 1.0f, 1e-40f, 0.0f, -1e-40f, -2.5f, -kMost, -kInf}) {
    EXPECT_EQ(ScoreOfKey(OrderKey(x)), x);
  }
}

// The search as a kernel runs it, on one row. Returns the number of looks.
int KeepByCut(const std::vector<float>& scores, const RowRule& rule, float first_pivot,
              std::vector<uint8_t>& keep) {
  const auto allowed = static_cast<int>(scores.size());
  float max = -kInf;
  for (const float s : scores) max = std::fmax(max, s);
  const auto tally_at = [&](float threshold) {
    Tally tally;
    for (const float s : scores) {
      if (s >= threshold) {
        ++tally.count;
        tally.mass += WeightOf(s, max);
      }
    }
    return tally;
  };
  const Tally all = tally_at(-kInf);
  const Tally goal = GoalOf(rule.rule, rule.setting, allowed, all.mass);
  int looks = 0;
  bool in_nan = false;
  Cut cut{};
  if (all.count < goal.count) {
    in_nan = true;
    cut = {-kInf, static_cast<int>(goal.count - all.count)};
  } else {
    Bracket bracket(goal, all, max, first_pivot);
    for (; !bracket.done(); ++looks) bracket.Narrow(tally_at(bracket.pivot()));
    cut = bracket.cut();
  }
  int left = cut.ties;
  for (size_t j = 0; j < scores.size(); ++j) {
    const float s = scores[j];
    const bool above = in_nan ? s == s : cut.ties < 0 ? s >= cut.threshold : s > cut.threshold;
    const bool at_cut = in_nan ? !(s == s) : s == cut.threshold;
    keep[j] = above || (cut.ties >= 0 && at_cut && left-- > 0) ? 1 : 0;
  }
  return looks;
}

std::vector<float> RowOfKind(int kind, uint32_t row, size_t count) {
  std::vector<float> scores(count);
  for (size_t j = 0; j < count; ++j) {
    const float x = NormalAt(kSeed, 100 + row, j);
    const uint32_t bits = Philox(kSeed, 200 + row, j)[0];
    switch (kind) {
      case 0:
        scores[j] = x;
        break;
      case 1:
        scores[j] = 60.0f * x;
        break;
      case 2:
        scores[j] = static_cast<float>(bits % 4);
        break;
      case 3:
        scores[j] = bits % 3 == 0 ? 0.0f : bits % 3 == 1 ? -0.0f : 1e-41f * x;
        break;
      case 4:
        scores[j] = bits % 9 == 0 ? kNan : bits % 9 == 1 ? -kInf : bits % 31 == 2 ? kInf : x;
        break;
      case 5:
        scores[j] = bits % 5 == 0 ? -kInf : kNan;
        break;
      case 6:
        scores[j] =
            bits % 2 == 0 ? kMost * UniformAt(kSeed, 3, j) : -kMost * UniformAt(kSeed, 4, j);
        break;
      case 7:
        scores[j] = std::exp2(40.0f * x);
        break;
      case 8:
        scores[j] = 1.0f + 1e-6f * x;
        break;
      default:
        scores[j] = -7.0f;
        break;
    }
  }
  return scores;
}
constexpr int kKinds = 10;

TEST(SelectCut, KeepsWhatTheRuleKeeps) {
  uint32_t row = 0;
  for (int kind = 0; kind < kKinds; ++kind) {
    for (const size_t count : {size_t{1}, size_t{2}, size_t{31}, size_t{141}, size_t{700}}) {
      const std::vector<float> scores = RowOfKind(kind, ++row, count);
      for (const SelectRule rule : {SelectRule::kHybrid, SelectRule::kTopK, SelectRule::kTopP}) {
        for (const SelectSetting setting :
             {SelectSetting{0, 1}, SelectSetting{30'000, 200'000}, SelectSetting{50'000, 950'000},
              SelectSetting{500'000, 999'999}, SelectSetting{999'999, 500'000},
              SelectSetting{1'000'000, 1'000'000}}) {
          const RowRule by{rule, setting, {}};
          std::vector<int32_t> order(count);
          std::vector<uint8_t> expected(count), keep(count);
          SelectRow(scores, by, order, expected);
          float some = kInf;  // a pivot that says nothing, one that is a score, and the worst
          for (size_t j = 0; j < count; j += 3) some = std::fmin(some, scores[j]);
          for (const float pivot : {0.5f, some, -kInf, kNan}) {
            const int looks = KeepByCut(scores, by, pivot, keep);
            ASSERT_EQ(keep, expected) << "kind " << kind << ", " << count << " blocks, rule "
                                      << static_cast<int>(rule) << ", pivot " << pivot;
            ASSERT_LE(looks, 60);
          }
        }
      }
    }
  }
}

TEST(SelectCut, KnowsRowsAsTheRuleDoes) {
  for (const bool causal : {false, true}) {
    for (const auto& [n_q, n_k] :
         {std::pair<int64_t, int64_t>{1000, 1000}, {300, 1000}, {1000, 300}, {1, 77}, {77, 1}}) {
      for (const BlockSize block : {BlockSize{64, 64}, BlockSize{128, 48}, BlockSize{2000, 30}}) {
        for (const int64_t window :
             {int64_t{-1}, int64_t{0}, int64_t{100}, std::numeric_limits<int64_t>::max()}) {
          SelectParams p;
          p.n_q = n_q;
          p.n_k = n_k;
          p.block = block;
          p.mask.causal = causal;
          p.window = window;
          p.pin_begin = 63;
          p.pin_end = 200;
          const SelectGeometry g = GeometryOf(p);
          for (int i = 0; i < g.t_q; ++i) {
            EXPECT_EQ(g.AllowedBlocks(i), p.mask.AllowedBlocks(i, n_q, n_k, block));
            const PinnedBlocks pinned = PinnedOf(p, i);
            for (int first = 0; first < g.t_k; first += 32) {
              const uint32_t bits = SpanBits(g.pinned, first) | SpanBits(g.Window(i), first);
              for (int j = first; j < std::min(first + 32, g.t_k); ++j) {
                EXPECT_EQ(bits >> (j - first) & 1, pinned.contains(j) ? 1u : 0u);
              }
            }
          }
        }
      }
    }
  }
}

// A selection whose scores do not fit at once: every row once, in parts for which there is room.
TEST(SelectCut, DividesWhatDoesNotFit) {
  const auto plan_of = [](int64_t heads, int64_t n_q, int64_t n_k, void* workspace) {
    SelectParams p;
    p.n_q = n_q;
    p.n_k = n_k;
    p.k_pooled.data = p.q_pooled.data = &p;  // looked at for its shape alone
    p.q_pooled.shape = {2, heads, BlockCount(n_q, 128), 64};
    p.k_pooled.shape = {2, heads / 2, BlockCount(n_k, 64), 64};
    return SelectPlan(p, 128, 100, workspace);
  };
  for (const auto& [heads, n_q, n_k] : {std::tuple<int64_t, int64_t, int64_t>{4, 1000, 1000},
                                        {40, 75'600, 75'600},
                                        {2, 4'000'000, 4'000'000}}) {
    const SelectPlan plan = plan_of(heads, n_q, n_k, nullptr);
    EXPECT_EQ(plan.group, 2);
    int64_t row = 0;
    for (int64_t first = 0; first < plan.all_tiles(); first += plan.tiles_at_once) {
      const int64_t end = std::min(first + plan.tiles_at_once, plan.all_tiles());
      EXPECT_EQ(plan.RowOf(first), row);
      row = plan.RowOf(end);
      EXPECT_LE((row - plan.RowOf(first)) * plan.scores_row, kMostScores);
    }
    EXPECT_EQ(row, plan.rows);
    EXPECT_EQ(plan.rows, 2 * heads * BlockCount(n_q, 128));
    alignas(256) char base[256];
    const SelectPlan placed = plan_of(heads, n_q, n_k, base);
    EXPECT_EQ(placed.bytes, plan.bytes);
    EXPECT_EQ(reinterpret_cast<char*>(placed.states) - base + 1024,
              static_cast<int64_t>(plan.bytes));
  }
}

}  // namespace
}  // namespace suffice::cuda
