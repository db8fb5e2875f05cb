// SPDX-License-Identifier: Apache-2.0
#include "kernels/select_rule.h"

#include <gtest/gtest.h>

#include <limits>
#include <vector>

namespace suffice {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();

// Ids of the kept blocks.
std::vector<int> Kept(const std::vector<float>& scores, SelectRule rule, int32_t k_ppm,
                      int32_t p_ppm, const PinnedBlocks& pinned = {}) {
  std::vector<int32_t> order(scores.size());
  std::vector<uint8_t> keep(scores.size(), 7);
  const int64_t count = SelectRow(scores, {rule, {k_ppm, p_ppm}, pinned}, order, keep);
  std::vector<int> ids;
  for (size_t j = 0; j < keep.size(); ++j) {
    if (keep[j]) ids.push_back(static_cast<int>(j));
  }
  EXPECT_EQ(count, static_cast<int64_t>(ids.size()));
  return ids;
}

using Ids = std::vector<int>;

TEST(SelectRule, TopKCountRoundsHalfUpAndKeepsOne) {
  EXPECT_EQ(TopKCount(0, 512), 1);
  EXPECT_EQ(TopKCount(30'000, 512), 15);  // 15.36
  EXPECT_EQ(TopKCount(50'000, 30), 2);    // 1.5
  EXPECT_EQ(TopKCount(49'999, 30), 1);    // 1.49997
  EXPECT_EQ(TopKCount(1'000'000, 65'536), 65'536);
  EXPECT_EQ(TopKCount(500'000, 1), 1);
  EXPECT_EQ(TopKCount(500'000, 0), 0);
}

TEST(SelectRule, TopPTargetIsTheRoundedUpShareOfTheTotal) {
  EXPECT_EQ(TopPTarget(200'000, 10), 2u);
  EXPECT_EQ(TopPTarget(200'001, 10), 3u);
  EXPECT_EQ(TopPTarget(1, 1), 1u);
  EXPECT_EQ(TopPTarget(200'000, 0), 0u);
  // The largest total there can be: 65,536 blocks of full weight.
  const uint64_t total = uint64_t{65'536} * kFullWeight;
  for (const int32_t p : {1, 160'000, 200'000, 999'999}) {
    const auto exact =
        (static_cast<unsigned __int128>(total) * static_cast<unsigned>(p) + 999'999) / 1'000'000;
    EXPECT_EQ(TopPTarget(p, total), static_cast<uint64_t>(exact));
  }
}

TEST(SelectRule, TopKTakesTheLargestAndTiesTakeTheLowerIndex) {
  EXPECT_EQ(Kept({1, 5, 3, 4}, SelectRule::kTopK, 500'000, 0), (Ids{1, 3}));
  EXPECT_EQ(Kept({2, 2, 2, 2}, SelectRule::kTopK, 500'000, 0), (Ids{0, 1}));
  EXPECT_EQ(Kept({-1, 0.0f, -0.0f, 0.0f}, SelectRule::kTopK, 500'000, 0), (Ids{1, 2}));
  EXPECT_EQ(Kept({-0.0f, 0.0f}, SelectRule::kTopK, 500'000, 0), (Ids{0}));
}

TEST(SelectRule, TopPTakesTheShortestPrefixThatReachesTheMass) {
  // Weights 1, 1, 1, 1: a half is two of them, a little more is three.
  EXPECT_EQ(Kept({3, 3, 3, 3}, SelectRule::kTopP, 0, 500'000), (Ids{0, 1}));
  EXPECT_EQ(Kept({3, 3, 3, 3}, SelectRule::kTopP, 0, 500'001), (Ids{0, 1, 2}));
  // A sink: one block holds almost everything.
  EXPECT_EQ(Kept({0, 20, 0, 0}, SelectRule::kTopP, 0, 600'000), (Ids{1}));
  // p = 1 keeps even what weighs nothing.
  EXPECT_EQ(Kept({0, -100, kNan, -kInf}, SelectRule::kTopP, 0, 1'000'000), (Ids{0, 1, 2, 3}));
  EXPECT_EQ(Kept({0, -100, kNan, -kInf}, SelectRule::kTopP, 0, 999'999), (Ids{0}));
}

TEST(SelectRule, HybridIsTheUnion) {
  const std::vector<float> scores = {0.1f, 2.0f, -1.0f, 1.9f, 0.3f, 1.7f, -3.0f, 0.0f};
  for (const int32_t k : {0, 125'000, 400'000, 1'000'000}) {
    for (const int32_t p : {1, 200'000, 600'000, 900'000, 1'000'000}) {
      const Ids by_k = Kept(scores, SelectRule::kTopK, k, p);
      const Ids by_p = Kept(scores, SelectRule::kTopP, k, p);
      EXPECT_EQ(Kept(scores, SelectRule::kHybrid, k, p), by_k.size() > by_p.size() ? by_k : by_p);
    }
  }
}

TEST(SelectRule, NanComesLastAndInfinitiesAreDefined) {
  EXPECT_EQ(Kept({kNan, -5, kNan, -9}, SelectRule::kTopK, 750'000, 0), (Ids{0, 1, 3}));
  EXPECT_EQ(Kept({kNan, kNan}, SelectRule::kTopP, 0, 200'000), (Ids{0}));
  EXPECT_EQ(Kept({kNan, kNan}, SelectRule::kHybrid, 0, 200'000), (Ids{0}));
  EXPECT_EQ(Kept({0, kInf, kInf, kInf}, SelectRule::kTopP, 0, 500'000), (Ids{1, 2}));
  EXPECT_EQ(Kept({-kInf, -kInf, kNan}, SelectRule::kTopP, 0, 500'000), (Ids{0}));
  EXPECT_EQ(Kept({-kInf, -kInf, kNan}, SelectRule::kTopP, 0, 500'001), (Ids{0, 1}));
  EXPECT_EQ(Kept({}, SelectRule::kHybrid, 500'000, 500'000), (Ids{}));
}

TEST(SelectRule, OrderKeyOrdersAsTheRuleDoes) {
  const std::vector<float> descending = {kInf,    3e38f, 1.0f,  1e-40f, 0.0f,
                                         -1e-40f, -1.0f, -kInf, kNan};
  for (size_t i = 1; i < descending.size(); ++i) {
    EXPECT_GT(OrderKey(descending[i - 1]), OrderKey(descending[i]));
  }
  EXPECT_EQ(OrderKey(0.0f), OrderKey(-0.0f));
  EXPECT_EQ(OrderKey(kNan), OrderKey(-kNan));
}

TEST(SelectRule, PinsTheBlocksOfATokenRangeAndOfAWindow) {
  SelectParams p;
  p.n_q = 1000;
  p.n_k = 1000;
  p.block = {128, 64};
  EXPECT_FALSE(PinnedOf(p, 0).contains(0));
  p.pin_begin = 63;
  p.pin_end = 65;  // tokens 63 and 64
  EXPECT_TRUE(PinnedOf(p, 5).contains(0));
  EXPECT_TRUE(PinnedOf(p, 5).contains(1));
  EXPECT_FALSE(PinnedOf(p, 5).contains(2));
  p.pin_end = p.pin_begin;

  p.window = 0;  // the diagonal: tokens 128..255 are key blocks 2 and 3
  EXPECT_EQ(PinnedOf(p, 1).window.begin, 2);
  EXPECT_EQ(PinnedOf(p, 1).window.end, 4);
  p.window = 1;
  EXPECT_EQ(PinnedOf(p, 1).window.begin, 1);
  EXPECT_EQ(PinnedOf(p, 1).window.end, 5);
  EXPECT_EQ(PinnedOf(p, 7).window.end, 16);  // the last, partial block

  p.n_q = 200;  // the last queries of the sequence: the range is shifted by 800
  p.window = 0;
  EXPECT_EQ(PinnedOf(p, 0).window.begin, 12);  // token 800
  EXPECT_EQ(PinnedOf(p, 0).window.end, 15);    // token 927
  p.n_q = 2000;                                // before the first key
  EXPECT_FALSE(PinnedOf(p, 0).contains(0));
  p.window = std::numeric_limits<int64_t>::max();
  EXPECT_EQ(PinnedOf(p, 0).window.end, 16);

  EXPECT_EQ(Kept({9, 1, 1, 1}, SelectRule::kTopK, 0, 0, {{1, 2}, {3, 9}}), (Ids{0, 1, 3}));
}

}  // namespace
}  // namespace suffice
