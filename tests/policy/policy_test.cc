// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>

#include "lib/base/error.h"
#include "lib/policy/layer_plan.h"
#include "lib/policy/runs.h"
#include "lib/policy/selection.h"
#include "tests/io/io_testing.h"

namespace suffice {
namespace {

TEST(Setting, ExceptionsApplyByLayerHeadAndTime) {
  Setting setting;
  SettingRule rule;
  rule.rule = "dense";
  rule.layers = {2};
  rule.heads = {1};
  rule.t_begin = 0.5;
  setting.except = {rule};
  EXPECT_EQ(RuleAt(setting, 2, 1, 0.7).rule, SelectRule::kAll);
  EXPECT_EQ(RuleAt(setting, 2, 1, 1.0).rule, SelectRule::kAll);
  EXPECT_EQ(RuleAt(setting, 2, 1, 0.49).rule, SelectRule::kHybrid);
  EXPECT_EQ(RuleAt(setting, 2, 0, 0.7).rule, SelectRule::kHybrid);
  EXPECT_EQ(RuleAt(setting, 1, 1, 0.7).rule, SelectRule::kHybrid);
  const LayerPlan plan = PlanLayer(setting, 2, 2, 0.7);
  EXPECT_FALSE(plan.dense);
  EXPECT_FALSE(plan.uniform());
  EXPECT_EQ(plan.heads[1].k_ppm, 1'000'000);
  EXPECT_TRUE(PlanLayer(DenseSetting(), 0, 4, 0).dense);
}

TEST(Setting, IdentityIgnoresTheNameOnly) {
  Setting a, b;
  b.name = "other";
  EXPECT_EQ(a.Canonical(), b.Canonical());
  b.k = {30'001};
  EXPECT_NE(a.Canonical(), b.Canonical());
  Contract contract;
  contract.settings = {a};
  EXPECT_EQ(contract.Find(b), nullptr);
}

TEST(Setting, NonsenseIsRefused) {
  Setting setting;
  setting.p = {0};
  EXPECT_THROW(CheckSettings({setting}, 2, 2, "x"), Error);
  setting = {};
  EXPECT_THROW(CheckSettings({setting, setting}, 2, 2, "x"), Error);
  setting.except = {{}};
  setting.except[0].layers = {2};
  EXPECT_THROW(CheckSettings({setting}, 2, 2, "x"), Error);
}

class CountPairsTest : public ::testing::TestWithParam<const char*> {};

TEST_P(CountPairsTest, MatchesACountByHand) {
  std::unique_ptr<Context> opened;
  try {
    opened = std::make_unique<Context>(ContextOptions{.backend = GetParam()});
  } catch (const Error& e) {
    GTEST_SKIP() << e.what();
  }
  Context& context = *opened;
  // Two query blocks of 64 over 100 queries, two key blocks of 64 over 90 keys.
  ListStorage lists(context, 2, 0, 4, false);
  const int64_t ptr[] = {0, 1, 3};
  const uint16_t ids[] = {0, 0, 1, 9};
  lists.row_ptr.CopyFromHost(HostArray::From<int64_t>({3}, ptr));
  lists.row_ids.CopyFromHost(HostArray::From<uint16_t>({4}, ids));
  const BlockSize block{64, 64};
  EXPECT_EQ(CountPairs(lists, 1, 100, 90, block, {}).kept, 64 * 64 + 36 * 90);
  int64_t kept = 0, allowed = 0;
  for (int64_t t = 0; t < 100; ++t) {
    const int64_t visible = std::clamp<int64_t>(t + 1 - 10, 0, 90);
    allowed += visible;
    kept += t < 64 ? std::min<int64_t>(visible, 64) : visible;
  }
  const PairCount causal = CountPairs(lists, 1, 100, 90, block, {true});
  EXPECT_EQ(causal.kept, kept);
  EXPECT_EQ(causal.allowed, allowed);
}
INSTANTIATE_TEST_SUITE_P(Backends, CountPairsTest, ::testing::Values("ref", "cpu", "cuda"),
                         [](const auto& p) { return std::string(p.param); });

Runs MadeRuns() {
  Runs runs;
  runs.population = "draws from the held-out part";
  runs.reference = std::string(64, 'a');
  for (uint64_t i = 0; i < 40; ++i) runs.units.push_back({i, 0, static_cast<int32_t>(i), 0.5});
  for (const char* name : {"s1", "dense"}) {
    RunsColumn column;
    column.model = std::string(64, 'b');
    column.setting = std::string(name) == "dense" ? DenseSetting() : Setting{};
    column.losses["failure"] = std::vector<double>(40, 0);
    column.cost = column.seconds = std::vector<double>(40, 1);
    runs.columns.push_back(column);
  }
  return runs;
}

// Writes to a folder that goes with the process: tests run side by side.
std::string WrittenRuns(const Runs& runs) {
  static const TempFolder folder;
  const std::string path = folder / "runs.h5";
  FileHeader header;
  header.encoding_type = EncodingType::kRuns;
  TensorWriter writer(path, header, {.force = true});
  WriteRuns(runs, &writer);
  writer.Commit();
  return path;
}

TEST(Runs, KeepSquaresWhoseRatioOfSumsIsTheError) {
  Runs runs = MadeRuns();
  EXPECT_FALSE(RelativeErrorOf(ReadRuns(TensorReader(WrittenRuns(runs))), runs.columns[0], 1));
  runs.energy = std::vector<double>(40, 2);
  runs.energy[0] = 20;
  for (RunsColumn& column : runs.columns) column.difference = std::vector<double>(40, 0);
  runs.columns[0].difference[0] = 98;  // beyond its own energy: nothing is cut off
  const Runs again = ReadRuns(TensorReader(WrittenRuns(runs)));
  EXPECT_EQ(again.energy, runs.energy);
  EXPECT_EQ(again.columns[0].difference, runs.columns[0].difference);
  const auto error = RelativeErrorOf(again, again.columns[0], 1);
  ASSERT_TRUE(error);
  EXPECT_EQ(error->value, 1);
  EXPECT_LT(error->interval.low, 1);
  EXPECT_GT(error->interval.high, 1);
  EXPECT_EQ(RelativeErrorOf(again, again.columns[1], 1)->value, 0);

  runs.columns[1].difference[3] = -1;
  EXPECT_THROW(ReadRuns(TensorReader(WrittenRuns(runs))), Error);
  runs = again;
  std::ranges::fill(runs.energy, 0);
  EXPECT_FALSE(RelativeErrorOf(runs, runs.columns[0], 1)) << "nothing to relate to";
}

TEST(Runs, ALossOfZerosAndOnesHasAnExactInterval) {
  Runs runs = MadeRuns();
  for (size_t i = 0; i < 3; ++i) runs.columns[0].losses["failure"][i] = 1;
  EXPECT_TRUE(IsBinary(runs, "failure"));
  const Estimate some = MeanLoss(runs, runs.columns[0], "failure", 0.9);
  EXPECT_DOUBLE_EQ(some.value, 3.0 / 40);
  EXPECT_EQ(some.interval.low, ClopperPearson(40, 3, 0.9).low);
  EXPECT_EQ(some.interval.high, ClopperPearson(40, 3, 0.9).high);
  // None of 40 failed: Student's interval would be a point.
  EXPECT_GT(MeanLoss(runs, runs.columns[1], "failure").interval.high, 0.05);
  // One value between the two in any column, and the loss is not of that kind.
  runs.columns[1].losses["failure"][7] = 0.5;
  EXPECT_FALSE(IsBinary(runs, "failure"));
  EXPECT_EQ(MeanLoss(runs, runs.columns[0], "failure").interval.high,
            LossInterval(runs.columns[0].losses["failure"]).high);
}

TEST(Runs, SurviveTheFileAndSplitEvenly) {
  const Runs runs = MadeRuns();
  const Runs again = ReadRuns(TensorReader(WrittenRuns(runs)));
  EXPECT_EQ(again.units.size(), 40u);
  EXPECT_EQ(again.columns[0].setting, runs.columns[0].setting);
  EXPECT_EQ(again.population, runs.population);
  EXPECT_EQ(again.Split(true).size() + again.Split(false).size(), 40u);
  int test = 0;
  for (uint64_t i = 0; i < 2000; ++i) test += IsTestUnit(i) ? 1 : 0;
  EXPECT_NEAR(test, 1000, 100);
}

TEST(Runs, RefusesUnitsTwiceAndLossesOutOfRange) {
  Runs twice = MadeRuns();
  twice.units[1] = twice.units[0];
  EXPECT_THROW(ReadRuns(TensorReader(WrittenRuns(twice))), Error);
  Runs large = MadeRuns();
  large.columns[0].losses["failure"][3] = 1.5;
  EXPECT_THROW(ReadRuns(TensorReader(WrittenRuns(large))), Error);
  Runs same = MadeRuns();
  same.columns[1].setting = same.columns[0].setting;
  EXPECT_THROW(ReadRuns(TensorReader(WrittenRuns(same))), Error);
}

}  // namespace
}  // namespace suffice
