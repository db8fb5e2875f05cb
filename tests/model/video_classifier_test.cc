// SPDX-License-Identifier: Apache-2.0
#include "lib/model/video_classifier.h"

#include <gtest/gtest.h>

#include "lib/model/classifier_file.h"
#include "tests/io/io_testing.h"
#include "tests/model/model_testing.h"

namespace suffice {
namespace {

using testing::RandomClips;
using testing::SameBits;
using testing::Stir;

ClassifierInfo TinyClassifier() {
  ClassifierInfo info;
  info.architecture = testing::TinyConfig();
  info.architecture.classes = 0;
  info.architecture.time_features = 2;
  info.resolution = {4, 6, 4};
  info.classes = {"a", "b", "c"};
  info.draws = 40;
  info.correct = 30;
  info.population = "clips of the test";
  return info;
}

// Clips of which the mean of the first channel says the class.
HostArray ShiftedClips(const std::vector<int32_t>& labels, uint64_t seed) {
  HostArray clips = RandomClips(static_cast<int64_t>(labels.size()), seed);
  const size_t size = 2 * 4 * 6 * 4;
  for (size_t b = 0; b < labels.size(); ++b) {
    for (size_t i = 0; i < size / 2; ++i) {
      clips.values<float>()[b * size + i] += static_cast<float>(labels[b] - 1);
    }
  }
  return clips;
}

class VideoClassifierTest : public ::testing::Test {
 protected:
  Context context{{.backend = "ref"}};
};

// What went wrong is looked for in the classifier's own pass.
TEST_F(VideoClassifierTest, NamesThePartThatOverflows) {
  VideoClassifier classifier(context, TinyClassifier(), DType::kF32);
  ParameterSet& parameters = classifier.trunk().parameters();
  parameters.Initialize(1);
  Stir(classifier.trunk(), 2);
  std::vector<NamedArray> arrays = parameters.Export();
  for (NamedArray& named : arrays) {
    if (named.name != "blocks.1.mlp.0.weight" && named.name != "blocks.1.mlp.2.weight") continue;
    for (float& x : named.array.values<float>()) x *= 1e25f;
  }
  parameters.Import(arrays, "test");
  ClassTrainer trainer(classifier, {}, 5);
  trainer.Step({{Tensor::FromHost(context, RandomClips(2, 3)), {0, 2}, Tensor()}});
  try {
    trainer.Finish();
    FAIL() << "took infinities";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ExitCode::kFailed);
    EXPECT_NE(std::string(e.what()).find("in blocks.1.mlp, of sample 0 of the run"),
              std::string::npos)
        << e.what();
  }
}

TEST_F(VideoClassifierTest, JudgesByTheMeanOverTokens) {
  VideoClassifier classifier(context, TinyClassifier(), DType::kF32);
  classifier.trunk().parameters().Initialize(1);
  Stir(classifier.trunk(), 2);
  const Tensor clips = Tensor::FromHost(context, RandomClips(2, 3));
  const std::vector<ClipJudgement> judged = classifier.Judge(clips);
  ASSERT_EQ(judged.size(), 2u);
  ASSERT_EQ(judged[0].features.size(), 16u);
  ASSERT_EQ(judged[0].scores.size(), 3u);

  Tape tape(context, Tape::Mode::kInfer);
  const HostArray scores = classifier.Forward(tape, clips).scores.value().ToHost();
  ASSERT_EQ(scores.shape(), (Shape{2 * 24, 3}));
  double mean = 0;
  for (size_t token = 24; token < 48; ++token) {
    mean += double{scores.values<float>()[token * 3 + 1]} / 24;
  }
  EXPECT_NEAR(judged[1].scores[1], mean, 1e-12);

  // The last layer is linear: scores of the mean features are the mean scores. A clip is judged
  // alike in any batch.
  const HostArray weight = classifier.trunk().parameters()["final.weight"].master.ToHost(),
                  bias = classifier.trunk().parameters()["final.bias"].master.ToHost();
  double score = double{bias.values<float>()[2]};
  for (size_t k = 0; k < 16; ++k) {
    score += double{weight.values<float>()[2 * 16 + k]} * judged[0].features[k];
  }
  EXPECT_NEAR(judged[0].scores[2], score, 1e-5);
  const std::vector<ClipJudgement> alone = classifier.Judge(clips.Slice(0, 1, 2));
  for (size_t k = 0; k < 16; ++k) EXPECT_NEAR(alone[0].features[k], judged[1].features[k], 1e-6);
}

TEST_F(VideoClassifierTest, TheFirstOfEqualScoresIsTheLabel) {
  EXPECT_EQ((ClipJudgement{{}, {0.25, 0.5, 0.5}}.Label()), 1);
}

TEST_F(VideoClassifierTest, LearnsToTellClipsApart) {
  VideoClassifier classifier(context, TinyClassifier(), DType::kF32);
  classifier.trunk().parameters().Initialize(1);
  FlowTrainingConfig config;
  config.optimizer.lr = 1e-2;
  config.optimizer.warmup_steps = 5;
  ClassTrainer trainer(classifier, config, 5);
  const std::vector<int32_t> labels = {0, 1, 2, 0, 1, 2};
  double first = 0, last = 0;
  for (uint64_t step = 0; step < 60; ++step) {
    const ClipBatch batch{Tensor::FromHost(context, ShiftedClips(labels, 10 + step)), labels, {}};
    const auto report = trainer.Step({batch});
    if (step == 1) first = report->loss;
  }
  last = trainer.Finish()->loss;
  EXPECT_NEAR(first, 1.0 / 3, 1e-6) << "of zero scores: one of three is 1";
  EXPECT_LT(last, 0.6 * first);
  int right = 0;
  const std::vector<ClipJudgement> judged =
      classifier.Judge(Tensor::FromHost(context, ShiftedClips(labels, 999)));
  for (size_t b = 0; b < labels.size(); ++b) right += judged[b].Label() == labels[b] ? 1 : 0;
  EXPECT_GE(right, 5);
}

// Gradients of a step do not depend, but for rounding, on how it is cut into micro-batches.
TEST_F(VideoClassifierTest, MicroBatchesAddUpToTheBatch) {
  const std::vector<int32_t> labels = {0, 2, 1};
  const auto step = [&](bool cut) {
    VideoClassifier classifier(context, TinyClassifier(), DType::kF32);
    classifier.trunk().parameters().Initialize(1);
    Stir(classifier.trunk(), 2);
    FlowTrainingConfig config;
    ClassTrainer trainer(classifier, config, 5);
    const Tensor clips = Tensor::FromHost(context, ShiftedClips(labels, 3));
    if (cut) {
      trainer.Step({{clips.Slice(0, 0, 1), {0}, {}}, {clips.Slice(0, 1, 3), {2, 1}, {}}});
    } else {
      trainer.Step({{clips, labels, {}}});
    }
    return *trainer.Finish();
  };
  const StepReport whole = step(false), parts = step(true);
  EXPECT_NEAR(whole.loss, parts.loss, 1e-6 * whole.loss);
  EXPECT_NEAR(whole.gradient_norm, parts.gradient_norm, 1e-5 * whole.gradient_norm);
}

TEST_F(VideoClassifierTest, FilesKeepWeightsAndWhatTheyWereMeasuredOn) {
  const TempFolder folder;
  const ClassifierInfo info = TinyClassifier();
  VideoClassifier classifier(context, info, DType::kF32);
  classifier.trunk().parameters().Initialize(1);
  const std::vector<NamedArray> weights = classifier.trunk().parameters().Export();
  const auto write = [&](const std::string& name, const ClassifierInfo& of) {
    FileHeader header;
    header.encoding_type = EncodingType::kClassifier;
    TensorWriter writer(folder / name, header);
    WriteClassifier(&writer, of, weights);
    writer.Commit();
    return folder / name;
  };
  const TensorReader reader(write("c.h5", info));
  const ClassifierInfo read = ReadClassifierInfo(reader);
  EXPECT_EQ(read.classes, info.classes);
  EXPECT_EQ(read.resolution, info.resolution);
  EXPECT_EQ(read.draws, 40);
  EXPECT_EQ(read.accuracy(), 0.75);
  EXPECT_NEAR(read.accuracy_interval().low, ClopperPearson(40, 30).low, 0);
  EXPECT_EQ(read.population, info.population);
  EXPECT_TRUE(SameBits(
      LoadClassifier(context, reader, read, DType::kF32)->trunk().parameters().Export(), weights));
  EXPECT_THROW(ReadModelInfo(reader), Error) << "no model";

  ClassifierInfo more = info;
  more.correct = 41;
  EXPECT_THROW(ReadClassifierInfo(TensorReader(write("more.h5", more))), Error);
  ClassifierInfo labels = info;
  labels.architecture.classes = 3;
  EXPECT_THROW(ReadClassifierInfo(TensorReader(write("labels.h5", labels))), Error);
  ClassifierInfo two = info;  // the weights are of three
  two.classes = {"a", "b"};
  const TensorReader short_of(write("two.h5", two));
  EXPECT_THROW(LoadClassifier(context, short_of, ReadClassifierInfo(short_of), DType::kF32), Error);
}

}  // namespace
}  // namespace suffice
