// SPDX-License-Identifier: Apache-2.0
#include <nlohmann/json.hpp>

#include "lib/distill/verbs.h"
#include "lib/io/text_file.h"
#include "tests/generate/generate_testing.h"

namespace suffice::testing {
namespace {

// A scenario with samples.h5 and a classifier for them.
class CompareTest : public ::testing::Test {
 protected:
  CompareTest() {
    const RunResult samples =
        Generate("sample", {{"model", {place_ / "dense.h5"}}, {"output", {place_ / "samples.h5"}}},
                 Set({"steps=1", "count=4"}));
    EXPECT_EQ(samples.code, 0) << samples.err;
    const RunResult classifier =
        RunTool(distill::Verbs(), "classify",
                {{"data", {place_ / "clips.h5"}}, {"output", {place_ / "classifier.h5"}}},
                Set({"frames=4", "height=32", "width=32", "model.width=16", "model.depth=1",
                     "model.heads=1", "train.batch=2", "train.micro_batch=2",
                     "train.held_out_draws=4", "train.steps=2", "train.optimizer.warmup_steps=1"}));
    EXPECT_EQ(classifier.code, 0) << classifier.err;
  }
  RunResult Compare(const std::string& output, Options options, const std::string& stop_at = {}) {
    options.sets.insert(options.sets.end(), {"batch=1", "resamples=20", "directions=4"});
    return Generate("compare",
                    {{"samples", {place_ / "samples.h5"}},
                     {"reference", {place_ / "clips.h5"}},
                     {"features", {place_ / "classifier.h5"}},
                     {"output", {place_ / output}}},
                    options, stop_at);
  }

  Scenario place_;
};

TEST_F(CompareTest, HasTheSameBitsAfterStopsInEitherSet) {
  ASSERT_EQ(Compare("whole.json", Set({})).code, 0);
  Options options = Set({});
  // The first line of each start is not thinned out; no checkpoint falls between the two sets.
  for (const char* at : {"samples.h5: clip 1/4", "samples.h5: clip 2/4", "samples.h5: clip 3/4",
                         "samples.h5: clip 4/4", "clips.h5: clip 2/8"}) {
    const RunResult stopped = Compare("part.json", options, at);
    ASSERT_EQ(stopped.code, 75) << stopped.err;
    EXPECT_FALSE(std::filesystem::exists(place_ / "part.json"));
    options.resume = true;
    options.context.threads = 1;
  }
  const RunResult resumed = Compare("part.json", options);
  ASSERT_EQ(resumed.code, 0) << resumed.err;
  EXPECT_EQ(ReadText(place_ / "part.json"), ReadText(place_ / "whole.json"));
  EXPECT_FALSE(std::filesystem::exists(place_ / "part.json.checkpoint"));
}

TEST_F(CompareTest, TheReferenceHasTheSamplesClassesAndTheSplitThatIsAskedFor) {
  Options options = Set({"split=train", "draws=3"});
  options.json = true;
  const RunResult run = Compare("scores.tsv", options);
  ASSERT_EQ(run.code, 0) << run.err;
  const auto json = nlohmann::json::parse(run.out);
  EXPECT_EQ(json["samples"]["clips"], 4);
  EXPECT_EQ(json["reference"]["clips"], 3);
  const auto population = json["reference"]["population"].get<std::string>();
  EXPECT_NE(population.find("training part"), std::string::npos) << population;
  EXPECT_EQ(json["classifier"]["digest"], ContentDigest(place_ / "classifier.h5"));
  EXPECT_TRUE(ReadText(place_ / "scores.tsv").starts_with("score\tvalue\tlow\thigh\tn\t"));
}

}  // namespace
}  // namespace suffice::testing
