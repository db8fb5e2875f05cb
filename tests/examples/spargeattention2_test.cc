// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>
#include <span>

#include "examples/tables/spargeattention2/rows.h"
#include "lib/stats/inference.h"

namespace suffice::table1 {
namespace {

constexpr HeadKinds kMixture = {Kind::kNearUniform, Kind::kNearUniform, Kind::kSkewed,
                                Kind::kSkewed};

std::vector<Draw> Draws(Context& context) {
  std::vector<Draw> draws;
  for (int64_t i = 0; i < 3; ++i) draws.push_back(MakeDraw(context, 5, i, kMixture));
  return draws;
}

TEST(Table1, HybridKeepsTheMostSelectionMassOfEveryRow) {
  Context context{ContextOptions{}};
  int64_t above_top_k = 0, above_top_p = 0;
  for (const Draw& draw : Draws(context)) {
    for (const SelectSetting setting : {SelectSetting{30'000, 200'000},
                                        {62'500, 270'000},
                                        {125'000, 600'000},
                                        {300'000, 100'000}}) {
      EXPECT_NO_THROW(CheckHybridKeepsMost(draw, setting));
      const Kept hybrid = KeptBlocks(draw, SelectRule::kHybrid, setting);
      const Kept top_k = KeptBlocks(draw, SelectRule::kTopK, setting);
      const Kept top_p = KeptBlocks(draw, SelectRule::kTopP, setting);
      for (size_t r = 0; r < hybrid.mass.size(); ++r) {
        ASSERT_GE(hybrid.mass[r], top_k.mass[r]);
        ASSERT_GE(hybrid.mass[r], top_p.mass[r]);
        ASSERT_EQ(hybrid.blocks[r], std::max(top_k.blocks[r], top_p.blocks[r]));
        above_top_k += hybrid.mass[r] > top_k.mass[r];
        above_top_p += hybrid.mass[r] > top_p.mass[r];
      }
    }
  }
  EXPECT_GT(above_top_k, 0);  // neither rule is all that binds on such rows
  EXPECT_GT(above_top_p, 0);
}

TEST(Table1, BisectionMeetsTheDensity) {
  Context context{ContextOptions{}};
  const std::vector<Draw> draws = Draws(context);
  const int32_t p = PpmForDensity(draws, SelectRule::kTopP, 0, 0.125);
  EXPECT_NEAR(MeanDensity(draws, SelectRule::kTopP, {0, p}), 0.125, 0.002);
  const int32_t hybrid = PpmForDensity(draws, SelectRule::kHybrid, 62'500, 0.125);
  EXPECT_NEAR(MeanDensity(draws, SelectRule::kHybrid, {62'500, hybrid}), 0.125, 0.002);
  EXPECT_LE(hybrid, p);  // at one density, k takes part of what p would
  EXPECT_DOUBLE_EQ(MeanDensity(draws, SelectRule::kTopK, {125'000, 0}), 0.125);
}

TEST(Table1, RowsAreOfTheirKind) {
  Context context{ContextOptions{}};
  for (const Draw& draw : Draws(context)) {
    const Kept two = KeptBlocks(draw, SelectRule::kTopK, {62'500, 0});  // as many as sinks
    const std::span<const double> mass(two.mass);
    const size_t half = mass.size() / 2;
    EXPECT_LT(Mean(mass.first(half)), 0.25);  // 2 of 32 blocks have 0.06 of a uniform row
    EXPECT_GT(Mean(mass.last(half)), 0.75);
  }
}

TEST(Table1, ADrawDependsOnItsSeedAndIndexAlone) {
  ContextOptions one_thread;
  one_thread.threads = 1;
  Context a{ContextOptions{}}, b{one_thread};
  EXPECT_EQ(MakeDraw(a, 5, 2, kMixture).scores, MakeDraw(b, 5, 2, kMixture).scores);
  EXPECT_NE(MakeDraw(a, 5, 2, kMixture).scores, MakeDraw(a, 5, 3, kMixture).scores);
}

}  // namespace
}  // namespace suffice::table1
