// SPDX-License-Identifier: Apache-2.0
// What distill sparse takes, plans, measures and reports.
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "lib/config/yaml.h"
#include "lib/policy/selection.h"
#include "tests/distill/train_testing.h"

namespace suffice::distill {
namespace {

TEST_F(TrainTest, WhatWasNotMeasuredIsNotReported) {
  Options options = Sets({"train.steps=2", "train.held_out_draws=0"});
  options.json = true;
  const RunResult sparse = Sparse("s.h5", options);
  ASSERT_EQ(sparse.code, 0) << sparse.err;
  options.sets.insert(options.sets.end(), {"frames=4", "height=32", "width=32"});
  const RunResult dense = testing::RunTool(Verbs(), "pretrain",
                                           {{"init", {place / "dense.h5"}},
                                            {"data", {place / "clips.h5"}},
                                            {"output", {place / "d.h5"}}},
                                           options);
  ASSERT_EQ(dense.code, 0) << dense.err;
  for (const char* key : {"density", "before", "after", "paired_gain"}) {
    EXPECT_TRUE(nlohmann::json::parse(sparse.out).at(key).is_null()) << key;
  }
  EXPECT_TRUE(nlohmann::json::parse(dense.out).at("held_out_loss").is_null()) << dense.out;
  const auto density_of = [&](const char* name) {
    return TensorReader(place / name).FloatAttribute("/training", "density");
  };
  EXPECT_EQ(density_of("s.h5"), std::nullopt);
  EXPECT_EQ(TensorReader(place / "d.h5").FloatListAttribute("/training", "held-out-loss"),
            std::nullopt);

  options = Sets({"train.steps=2", "train.held_out_draws=0"});
  options.force = true;
  EXPECT_NE(Sparse("s.h5", options).out.find("nothing held out was measured"), std::string::npos);
  ASSERT_EQ(Sparse("m.h5", Sets({"train.steps=2"})).code, 0);
  EXPECT_NE(density_of("m.h5"), std::nullopt);
}

TEST_F(TrainTest, HeldOutClipsAreWantedWhereTheyAreMeasuredAlone) {
  const ClipDataset clips = ClipDataset::Read(place / "clips.h5");
  std::vector<ClipSource> sources = clips.sources();
  for (ClipSource& source : sources) source.held_out = {};
  FileHeader header;
  header.encoding_type = EncodingType::kDataset;
  TensorWriter writer(place / "clips.h5", header, {.force = true});
  ClipDataset(clips.classes(), std::move(sources), clips.clip_frames()).Write(&writer);
  writer.Commit();
  EXPECT_EQ(Sparse("s.h5", Sets({"train.steps=2"})).code, 2);
  const RunResult run = Sparse("s.h5", Sets({"train.steps=2", "train.held_out_draws=0"}));
  EXPECT_EQ(run.code, 0) << run.err;
}

TEST_F(TrainTest, AnErrorRelatesToAVelocityThatIsNotZero) {
  std::vector<NamedArray> zero = place.weights;
  for (NamedArray& weight : zero) {
    for (float& x : weight.array.values<float>()) x = 0;
  }
  std::filesystem::remove(place / "dense.h5");
  place.WriteModelFile("dense.h5", testing::DenseInfo(), zero);
  const RunResult run = Sparse("s.h5", Sets({"train.steps=2"}));
  EXPECT_EQ(run.code, 3);
  EXPECT_NE(run.err.find("dense.h5: its velocity is zero at every held-out unit"),
            std::string::npos)
      << run.err;
  EXPECT_EQ(Sparse("s.h5", Sets({"train.steps=2", "train.held_out_draws=0"})).code, 0);
}

// --- what is asked for

TEST_F(TrainTest, ASettingOfASelectionIsCheckedAsAnyOther) {
  const auto with = [&](const Setting& setting, const Options& options, bool known = true) {
    Selection selection;
    selection.p_value = "binomial";
    selection.rungs = {{known ? Digest("sparse.h5") : std::string(64, 'a'), setting},
                       {Digest("dense.h5"), DenseSetting()}};
    std::ofstream(place / "selection.yaml") << DumpYaml(FieldsOf(selection));
    Arguments arguments = SparseArguments("s.h5");
    arguments["selection"] = {place / "selection.yaml"};
    return testing::RunTool(Verbs(), "sparse", arguments, options);
  };
  const auto refused = [](const RunResult& run, const std::string& what) {
    EXPECT_EQ(run.code, 2);
    EXPECT_NE(run.err.find(what), std::string::npos) << run.err;
  };
  Setting setting = testing::TwoSettings().settings[1];
  const Options brief = Sets({"train.steps=1"});
  const RunResult run = with(setting, brief);
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_NE(run.err.find("setting 'quarter'"), std::string::npos) << run.err;
  refused(with(setting, Sets({"setting=half"})), "asked for beside " + (place / "selection.yaml"));
  refused(with(setting, brief, false),
          "its first rung is model aaaaaaaaaaaaaaaa with setting "
          "'quarter', none is of the file given: ");
  setting.rule = "topk";
  setting.k = {0};
  refused(with(setting, brief), "selection.yaml: setting 'quarter': rule topk wants k above 0");
  setting = testing::TwoSettings().settings[1];
  setting.except.push_back({.layers = {9}});
  refused(with(setting, brief), "selection.yaml: setting 'quarter': layer 9, the model has 2");
}

// What a plan says is still to do, in GFLOP.
TEST_F(TrainTest, APlanCountsWhatIsLeft) {
  Options options = Sets({"train.held_out_draws=0"});
  options.progress = ProgressMode::kJsonl;
  const auto planned = [&] {
    Options dry = options;
    dry.dry_run = true;
    const RunResult run = Sparse("part.h5", dry);
    EXPECT_EQ(run.code, 0) << run.err;
    std::istringstream lines(run.err);
    for (std::string line; std::getline(lines, line);) {
      const auto event = nlohmann::json::parse(line);
      if (event["event"] == "plan") return event["gflop"].get<double>();
    }
    return -1.0;
  };
  const double whole = planned();
  const RunResult stopped =
      testing::RunTool(Verbs(), "sparse", SparseArguments("part.h5"), options, "\"done\":1,");
  ASSERT_EQ(stopped.code, 75) << stopped.err;
  const int64_t done =
      TensorReader(place / "part.h5.checkpoint").IntAttribute("/state", "steps-done").value_or(0);
  ASSERT_GT(done, 0);
  ASSERT_LT(done, 6);
  options.resume = true;
  EXPECT_NEAR(planned(), whole * static_cast<double>(6 - done) / 6, 1e-9 * whole);
}

}  // namespace
}  // namespace suffice::distill
