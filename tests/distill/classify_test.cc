// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "lib/distill/verbs.h"
#include "lib/model/classifier_file.h"
#include "tests/generate/generate_testing.h"

namespace suffice::testing {
namespace {

RunResult Classify(const Scenario& place, const std::string& output, Options options,
                   const std::string& stop_at = {}) {
  for (const char* set :
       {"frames=4", "height=32", "width=32", "model.patch=[2,8,8]", "model.width=16",
        "model.depth=1", "model.heads=1", "train.batch=2", "train.micro_batch=2",
        "train.held_out_draws=10", "train.steps=6", "train.optimizer.warmup_steps=1"}) {
    options.sets.emplace_back(set);
  }
  return RunTool(distill::Verbs(), "classify",
                 {{"data", {place / "clips.h5"}}, {"output", {place / output}}}, options, stop_at);
}

TEST(Classify, WritesWhatItMeasured) {
  const Scenario place;
  Options options = Set({});
  options.json = true;
  const RunResult run = Classify(place, "c.h5", options);
  ASSERT_EQ(run.code, 0) << run.err;
  const auto json = nlohmann::json::parse(run.out);
  const TensorReader reader(place / "c.h5", EncodingType::kClassifier);
  const ClassifierInfo info = ReadClassifierInfo(reader);
  EXPECT_EQ(info.classes, (std::vector<std::string>{"box", "cup"}));
  EXPECT_EQ(info.draws, 10);
  EXPECT_EQ(json["correct"], info.correct);
  const Interval interval = ClopperPearson(info.draws, info.correct);
  EXPECT_EQ(json["interval"][0], interval.low);
  EXPECT_EQ(json["interval"][1], interval.high);
  EXPECT_NE(info.population.find(ContentDigest(place / "clips.h5").substr(0, 16)),
            std::string::npos);
  EXPECT_EQ(reader.IntAttribute("/training", "steps"), 6);

  // The accuracy that is said is that of the weights that are in the file.
  Context context({.backend = "cpu", .isa = "auto", .threads = 1, .device = 0});
  const auto classifier = LoadClassifier(context, reader, info, DType::kF32);
  const ClipDataset data = ClipDataset::Read(place / "clips.h5");
  ModelInfo clips;
  clips.resolution = info.resolution;
  const HeldOutUnits units(context, data, clips, 7);
  int64_t correct = 0;
  for (uint64_t i = 0; i < 10; ++i) {
    const FlowUnit unit = units[i];
    correct += classifier->Judge(unit.x0)[0].Label() == unit.clip.label ? 1 : 0;
  }
  EXPECT_EQ(correct, info.correct);
}

TEST(Classify, HasTheSameBitsAfterAStop) {
  const Scenario place;
  Options options = Set({});
  ASSERT_EQ(Classify(place, "whole.h5", options).code, 0);
  const RunResult stopped = Classify(place, "part.h5", options, "step 1/6");
  ASSERT_EQ(stopped.code, 75) << stopped.err;
  options.resume = true;
  options.context.threads = 1;
  const RunResult resumed = Classify(place, "part.h5", options);
  ASSERT_EQ(resumed.code, 0) << resumed.err;
  EXPECT_EQ(ContentDigest(place / "part.h5"), ContentDigest(place / "whole.h5"));
  EXPECT_FALSE(std::filesystem::exists(place / "part.h5.checkpoint"));
}

}  // namespace
}  // namespace suffice::testing
