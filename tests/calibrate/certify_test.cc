// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "lib/base/philox.h"
#include "lib/calibrate/risk_control.h"
#include "lib/calibrate/verbs.h"
#include "lib/policy/selection.h"
#include "tests/generate/generate_testing.h"

namespace suffice::calibrate {
namespace {

struct Planted {
  std::string name;
  double cost;
  double risk;  // probability that a unit fails
};

// Independent failures of `units` units under each setting, other ones for each seed.
Runs Simulate(const std::vector<Planted>& settings, int units, uint64_t seed) {
  Runs runs;
  runs.population = "simulated units";
  runs.reference = std::string(64, 'd');
  for (int i = 0; i < units; ++i) runs.units.push_back({static_cast<uint64_t>(i), 0, i, 0.5});
  for (size_t s = 0; s < settings.size(); ++s) {
    RunsColumn column;
    column.model = std::string(64, 'e');
    column.setting.name = settings[s].name;
    column.setting.k = {static_cast<int32_t>(1000 * (s + 1))};  // another setting each
    column.losses = {{"failure", {}}, {"error", {}}};
    for (int i = 0; i < units; ++i) {
      const auto at = static_cast<uint64_t>(i) * settings.size() + s;
      const double u = Philox(seed, static_cast<uint32_t>(Stream::kTest), at)[0] * 0x1p-32;
      column.losses["failure"].push_back(u < settings[s].risk ? 1 : 0);
      column.losses["error"].push_back(settings[s].risk * 2 * u);  // of mean risk, in [0, 1]
      column.cost.push_back(settings[s].cost);
      column.seconds.push_back(settings[s].cost);
    }
    runs.columns.push_back(std::move(column));
  }
  return runs;
}

std::string NameOf(const Runs& runs, const Candidate& candidate) {
  return runs.columns[candidate.column].setting.name;
}

TEST(Certify, TestsTheFrontierOfTheOrderSplitFromTheSafestOn) {
  const Runs runs = Simulate(
      {{"cheap", 1, 0.3}, {"dominated", 4, 0.2}, {"safe", 3, 0.0}, {"middle", 2, 0.05}}, 2000, 1);
  const Certification c = Certify(runs, "failure", 0.1, 0.1, PValueKind::kBinomial);
  ASSERT_EQ(c.sequence.size(), 3u);
  EXPECT_EQ(NameOf(runs, c.sequence[0]), "safe");
  EXPECT_EQ(NameOf(runs, c.sequence[1]), "middle");
  EXPECT_EQ(NameOf(runs, c.sequence[2]), "cheap");
  EXPECT_TRUE(c.sequence[0].certified && c.sequence[1].certified);
  EXPECT_FALSE(c.sequence[2].certified);
  ASSERT_NE(c.chosen(), nullptr);
  EXPECT_EQ(NameOf(runs, *c.chosen()), "middle");
  EXPECT_EQ(c.order_units + c.test_units, 2000u);
}

// After the first failure nothing is certified, however good it looks.
TEST(Certify, StopsAtTheFirstThatFails) {
  Runs runs = Simulate({{"first", 3, 0.0}, {"second", 2, 0.05}, {"third", 1, 0.08}}, 2000, 2);
  for (size_t i = 0; i < runs.units.size(); ++i) {
    if (IsTestUnit(runs.units[i].id)) runs.columns[1].losses["failure"][i] = 1;
    if (IsTestUnit(runs.units[i].id)) runs.columns[2].losses["failure"][i] = 0;
  }
  const Certification c = Certify(runs, "failure", 0.1, 0.1, PValueKind::kBinomial);
  ASSERT_EQ(c.sequence.size(), 3u);
  EXPECT_TRUE(c.sequence[0].certified);
  EXPECT_FALSE(c.sequence[1].certified);
  EXPECT_LT(c.sequence[2].p_value, 1e-6);
  EXPECT_FALSE(c.sequence[2].certified);
}

TEST(Certify, CertifiesNothingThatFailsTooOften) {
  const Runs runs = Simulate({{"a", 2, 0.4}, {"b", 1, 0.5}}, 500, 3);
  EXPECT_EQ(Certify(runs, "failure", 0.1, 0.1, PValueKind::kBinomial).chosen(), nullptr);
  EXPECT_EQ(Certify(runs, "error", 0.1, 0.1, PValueKind::kHoeffdingBentkus).chosen(), nullptr);
  const Certification none =
      Certify(Simulate({{"a", 2, 0}}, 0, 3), "failure", 0.1, 0.1, PValueKind::kBinomial);
  EXPECT_TRUE(none.sequence.empty());
}

// What the guarantee says: at risks just above alpha, a setting is certified in at most a fraction
// delta of all runs; up to three standard deviations of 500 of them.
TEST(Certify, IsWrongInAtMostAFractionDeltaOfRuns) {
  constexpr int kRuns = 500;
  constexpr double kAlpha = 0.1, kDelta = 0.1;
  const double limit = kRuns * kDelta + 3 * std::sqrt(kRuns * kDelta * (1 - kDelta));
  int wrong_binomial = 0, wrong_bounded = 0, certified_safe = 0;
  for (uint64_t seed = 0; seed < kRuns; ++seed) {
    const Runs bad = Simulate({{"a", 3, 0.1001}, {"b", 2, 0.1001}, {"c", 1, 0.11}}, 300, seed);
    wrong_binomial +=
        Certify(bad, "failure", kAlpha, kDelta, PValueKind::kBinomial).chosen() != nullptr;
    wrong_bounded +=
        Certify(bad, "error", kAlpha, kDelta, PValueKind::kHoeffdingBentkus).chosen() != nullptr;
    const Runs good = Simulate({{"a", 1, 0.02}}, 300, seed + kRuns);
    certified_safe +=
        Certify(good, "failure", kAlpha, kDelta, PValueKind::kBinomial).chosen() != nullptr;
  }
  EXPECT_LE(wrong_binomial, limit);
  EXPECT_GT(wrong_binomial, 0);  // else it would be of no use
  EXPECT_LE(wrong_bounded, limit);
  EXPECT_GT(certified_safe, 0.95 * kRuns);
}

class SelectTest : public ::testing::Test {
 protected:
  void Write(const Runs& runs) {
    FileHeader header;
    header.encoding_type = EncodingType::kRuns;
    TensorWriter writer(folder_ / "runs.h5", header, {.force = true});
    WriteRuns(runs, &writer);
    writer.Commit();
  }
  testing::RunResult Select(const Options& options = {}) {
    return testing::RunTool(Verbs(), "select",
                            {{"runs", {folder_ / "runs.h5"}}, {"output", {folder_ / "s.yaml"}}},
                            options);
  }
  TempFolder folder_;
};

TEST_F(SelectTest, WritesALadderThatEndsInTheDenseModel) {
  Write(Simulate({{"safe", 3, 0.0}, {"middle", 2, 0.05}, {"cheap", 1, 0.3}}, 2000, 1));
  EXPECT_EQ(Select().code, 0);
  const Selection selection = ReadSelection(folder_ / "s.yaml");
  ASSERT_EQ(selection.rungs.size(), 2u);
  EXPECT_EQ(selection.rungs[0].setting.name, "middle");
  EXPECT_TRUE(selection.rungs[0].certified);
  EXPECT_TRUE(selection.rungs[1].setting.dense());
  EXPECT_EQ(selection.rungs[1].model, std::string(64, 'd'));
  EXPECT_NE(selection.guarantee.find("at most 0.1"), std::string::npos);
  EXPECT_EQ(selection.runs, ContentDigest(folder_ / "runs.h5"));
}

TEST_F(SelectTest, LeavesTheDenseModelAloneWhenNothingIsCertified) {
  Write(Simulate({{"a", 2, 0.4}, {"b", 1, 0.5}}, 500, 3));
  EXPECT_EQ(Select().code, 5);
  const Selection selection = ReadSelection(folder_ / "s.yaml");
  ASSERT_EQ(selection.rungs.size(), 1u);
  EXPECT_TRUE(selection.rungs[0].setting.dense());
  EXPECT_TRUE(selection.guarantee.empty());
}

TEST_F(SelectTest, TheFrontierOfFailuresHasExactIntervals) {
  Write(Simulate({{"safe", 3, 0.0}, {"cheap", 1, 0.3}}, 100, 1));
  const auto highest = [&](const std::string& loss) {
    Options options = testing::Set({"loss=" + loss});
    options.json = true;
    const testing::RunResult run =
        testing::RunTool(Verbs(), "frontier", {{"runs", {folder_ / "runs.h5"}}}, options);
    EXPECT_EQ(run.code, 0) << run.err;
    return nlohmann::json::parse(run.out)[0]["interval"][1].get<double>();
  };
  // No failure in 100 units: the rule of three, not a point.
  EXPECT_NEAR(highest("failure"), 1 - std::pow(0.025, 1.0 / 100), 1e-6);
  EXPECT_NE(highest("error"), highest("failure"));
}

TEST_F(SelectTest, RefusesALossThatIsNotThereAndAPValueThatDoesNotFit) {
  Write(Simulate({{"a", 2, 0.1}}, 100, 4));
  const testing::RunResult missing = Select(testing::Set({"loss=blur"}));
  EXPECT_EQ(missing.code, 2);
  EXPECT_NE(missing.err.find("no loss 'blur', it has error, failure"), std::string::npos);
  EXPECT_EQ(Select(testing::Set({"loss=error", "p_value=binomial"})).code, 2);
}

}  // namespace
}  // namespace suffice::calibrate
