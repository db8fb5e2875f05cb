// SPDX-License-Identifier: Apache-2.0
// What samples are drawn from, how a loss curve is judged, and where the teacher's velocities stay.
#include "lib/distill/training_data.h"

#include <cmath>

#include "lib/distill/loss_watch.h"
#include "tests/generate/generate_testing.h"

namespace suffice::distill {
namespace {

using testing::Scenario;

class TrainingDataTest : public ::testing::Test {
 protected:
  TrainingDataTest() {
    // Two samples of a model: videos that no clip looks like.
    FileHeader header;
    header.encoding_type = EncodingType::kSamples;
    TensorWriter writer(place / "samples.h5", header);
    HostArray video(DType::kF32, {2, 3, 4, 32, 32});
    for (float& x : video.values<float>()) x = 0.5f;
    writer.Dataset("/video", video);
    writer.Dataset("/labels", HostArray::From<int32_t>({2}, std::vector<int32_t>{1, 0}));
    writer.Strings("/classes", std::vector<std::string>{"box", "cup"});
    writer.Commit();
  }
  TrainingData Read(const MixConfig& mix) {
    return TrainingData::Read({place / "clips.h5", place / "samples.h5"}, mix);
  }
  // Shares of the second dataset among samples [first, first + count).
  static double Share(const TrainingData& data, uint64_t first, int count, int64_t batch) {
    int second = 0;
    for (int i = 0; i < count; ++i)
      second += static_cast<int>(data.DatasetOf(7, first + static_cast<uint64_t>(i), batch));
    return static_cast<double>(second) / count;
  }
  std::string Refusal(const MixConfig& mix) {
    try {
      Read(mix);
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ExitCode::kUsage);
      return e.what();
    }
    return "taken";
  }
  Scenario place;
};

TEST_F(TrainingDataTest, MixesByWeight) {
  EXPECT_NEAR(Share(Read({}), 0, 20000, 4), 0.5, 0.015);
  EXPECT_NEAR(Share(Read({.weights = {3, 1}}), 0, 20000, 4), 0.25, 0.015);
  EXPECT_EQ(Share(Read({.weights = {1, 0}}), 0, 1000, 4), 0);
  EXPECT_EQ(Share(Read({.weights = {0, 1}}), 0, 1000, 4), 1);
}

TEST_F(TrainingDataTest, ClassesAreThoseOfTheModelNameByName) {
  const auto refusal = [&](const std::vector<std::string>& classes, int64_t count) -> std::string {
    ModelInfo model;
    model.classes = classes;
    model.architecture.classes = count;
    try {
      Read({}).RequireClasses(model, "m.h5");
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ExitCode::kUsage);
      return e.what();
    }
    return "taken";
  };
  EXPECT_EQ(refusal({"box", "cup"}, 2), "taken");
  EXPECT_EQ(refusal({}, 0), "taken");
  EXPECT_NE(refusal({"cup", "box"}, 2).find("its classes are not those of m.h5"),
            std::string::npos);
  EXPECT_NE(refusal({"box", "cup", "tree"}, 3), "taken");
}

TEST_F(TrainingDataTest, AlternatesByStep) {
  const TrainingData equal = Read({.schedule = "alternate"});
  for (uint64_t sample = 0; sample < 64; ++sample)
    EXPECT_EQ(equal.DatasetOf(7, sample, 4), sample / 4 % 2) << sample;
  // Every 2^n steps have their share to one step.
  const TrainingData uneven = Read({.schedule = "alternate", .weights = {0.7, 0.3}});
  for (const int steps : {8, 64, 1024}) {
    for (const uint64_t block : {0u, 1u, 5u}) {
      const uint64_t first = block * static_cast<uint64_t>(steps) * 2;
      EXPECT_NEAR(Share(uneven, first, steps * 2, 2), 0.3, 1.01 / steps) << steps;
    }
  }
}

TEST_F(TrainingDataTest, GivesTheClipsAndLabelsOfTheDatasetThatWasDrawn) {
  Context context({.backend = "ref"});
  const TrainingData data = Read({});
  const ModelInfo info = testing::DenseInfo();
  const ClipBatch batch = data.Batch(context, info, true, 7, 40, 12, 4);
  const HostArray clips = batch.clips.ToHost();
  const size_t each = clips.values<float>().size() / 12;
  int sampled = 0;
  for (uint64_t b = 0; b < 12; ++b) {
    const float first = clips.values<float>()[b * each],
                last = clips.values<float>()[(b + 1) * each - 1];
    const bool flat = first == last && std::abs(first - 0.5f) < 1 / 127.5f;
    EXPECT_EQ(flat, data.DatasetOf(7, 40 + b, 4) == 1) << b;
    sampled += flat ? 1 : 0;
  }
  EXPECT_GT(sampled, 0);
  EXPECT_LT(sampled, 12);
  // One at a time or all at once.
  const ClipBatch one = data.Batch(context, info, true, 7, 45, 1, 4);
  EXPECT_TRUE(testing::SameBits(one.clips.ToHost(), batch.clips.Slice(0, 5, 6).ToHost()));
  EXPECT_EQ(one.labels[0], batch.labels[5]);
}

TEST_F(TrainingDataTest, RefusesWeightsThatDoNotFit) {
  EXPECT_EQ(Refusal({.weights = {1}}), "train.mix.weights: 1 of them, there are 2 datasets");
  EXPECT_EQ(Refusal({.weights = {0, 0}}), "train.mix.weights: all are 0");
}

TEST_F(TrainingDataTest, RefusesSamplesWithoutLabelsAndOtherClasses) {
  const auto write = [&](const std::string& name, int32_t label, std::vector<std::string> classes) {
    FileHeader header;
    header.encoding_type = EncodingType::kSamples;
    TensorWriter writer(place / name, header);
    writer.Dataset("/video", HostArray(DType::kF32, {1, 3, 4, 32, 32}));
    writer.Dataset("/labels", HostArray::From<int32_t>({1}, std::vector<int32_t>{label}));
    writer.Strings("/classes", classes);
    writer.Commit();
    try {
      TrainingData::Read({place / "clips.h5", place / name}, {});
    } catch (const Error& e) {
      return std::pair{e.code(), std::string(e.what())};
    }
    return std::pair{ExitCode::kDone, std::string()};
  };
  const auto [code, message] = write("null.h5", -1, {"box", "cup"});
  EXPECT_EQ(code, ExitCode::kData);
  EXPECT_NE(message.find("video 0: has no label"), std::string::npos) << message;
  const auto [other_code, other] = write("other.h5", 0, {"cup", "box"});
  EXPECT_EQ(other_code, ExitCode::kUsage);
  EXPECT_NE(other.find("its classes are not those of"), std::string::npos) << other;
}

TEST(LossWatch, SeesACollapseAndNotNoise) {
  LossWatch watch(3);
  for (int i = 0; i < 400; ++i) {
    watch.Add(std::exp(-i / 100.0) * (i % 7 == 0 ? 2.0 : 0.8));  // falls, with spikes
    EXPECT_FALSE(watch.collapsed());
    EXPECT_FALSE(watch.rising());
  }
  const double lowest = watch.lowest();
  int rising = 0, collapsed = 0;
  for (int i = 0; i < 200 && collapsed == 0; ++i) {
    watch.Add(5 * lowest);
    if (watch.rising() && rising == 0) rising = i;
    if (watch.collapsed()) collapsed = i;
  }
  EXPECT_EQ(watch.lowest(), lowest);
  EXPECT_GT(rising, 0);
  EXPECT_GT(collapsed, rising);
  EXPECT_LT(collapsed, LossWatch::kWindow);
}

// A student that starts as its teacher has nothing to lose.
TEST(LossWatch, TakesASmallLossForNoCollapse) {
  LossWatch watch(3);
  for (int i = 0; i < 60; ++i) watch.Add(0);
  for (int i = 0; i < 100; ++i) {
    watch.Add(0.9 * LossWatch::kSmall);
    EXPECT_FALSE(watch.collapsed());
    EXPECT_FALSE(watch.rising());
  }
  for (int i = 0; i < 100; ++i) watch.Add(2 * LossWatch::kSmall);
  EXPECT_TRUE(watch.collapsed());
}

TEST(LossWatch, NeverEndsARunThatAskedForNoWatch) {
  LossWatch watch(0);
  for (int i = 0; i < 200; ++i) watch.Add(i);
  EXPECT_FALSE(watch.collapsed());
  EXPECT_FALSE(watch.rising());
}

}  // namespace
}  // namespace suffice::distill
