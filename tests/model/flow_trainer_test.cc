// SPDX-License-Identifier: Apache-2.0
#include "lib/model/flow_trainer.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/model/model_testing.h"

namespace suffice {
namespace {

using testing::RandomClips;
using testing::SameBits;
using testing::Stir;
using testing::TinyConfig;

FlowTrainingConfig TinyTraining() {
  FlowTrainingConfig config;
  config.optimizer.lr = 3e-3;
  config.optimizer.warmup_steps = 2;
  config.optimizer.ema_decay = 0.9;
  return config;
}

class FlowTrainerTest : public ::testing::Test {
 protected:
  ClipBatch Batch(int64_t count, uint64_t seed) {
    ClipBatch batch{Tensor::FromHost(context, RandomClips(count, seed)), {}, Tensor()};
    for (int64_t b = 0; b < count; ++b) batch.labels.push_back(static_cast<int32_t>(b % 3));
    return batch;
  }
  VideoDit Model(DType compute, uint64_t seed = 1) {
    VideoDit model(context, TinyConfig(), compute);
    model.parameters().Initialize(seed);
    return model;
  }
  Setting Sparse() {
    Setting setting;
    setting.rule = "topk";
    setting.k = {500'000};
    return setting;
  }
  Context context{{.backend = "ref"}};
};

// With one clip whatever the noise, the best velocity is known; the loss must fall far below its
// start, which for zero velocity is the mean square of eps - x0.
TEST_F(FlowTrainerTest, LearnsOneClip) {
  VideoDit model = Model(DType::kF32);
  FlowTrainingConfig config = TinyTraining();
  config.optimizer.lr = 1e-2;
  FlowTrainer trainer(model, config, 5);
  const ClipBatch batch = Batch(1, 3);
  double first = 0.0, last = 0.0;
  int count = 0;
  constexpr int kSteps = 600;
  for (int step = 0; step < kSteps; ++step) {
    const auto report = trainer.Step({batch});
    EXPECT_EQ(report.has_value(), step > 0);
    if (!report) continue;
    EXPECT_EQ(report->step, step);
    if (step <= 5) first += report->loss / 5.0;
    if (step > kSteps - 50) {
      last += report->loss;
      ++count;
    }
  }
  const auto report = trainer.Finish();
  ASSERT_TRUE(report);
  EXPECT_EQ(report->step, kSteps);
  EXPECT_FALSE(trainer.Finish());
  EXPECT_NEAR(first, 2.0, 0.5);
  EXPECT_LT(last / count, 0.6 * first);
}

TEST_F(FlowTrainerTest, CpuTrainsLikeRefWithAnyNumberOfThreads) {
  const auto train = [](const ContextOptions& options, DType compute) {
    Context other(options);
    VideoDit model(other, TinyConfig(), compute);
    model.parameters().Initialize(1);
    Stir(model, 2);
    FlowTrainer trainer(model, TinyTraining(), 5);
    const ClipBatch batch{Tensor::FromHost(other, RandomClips(2, 3)), {0, 1}, Tensor()};
    for (int step = 0; step < 3; ++step) trainer.Step({batch});
    return trainer.Export();
  };
  const std::vector<NamedArray> wanted = train({.backend = "ref"}, DType::kF32);
  const std::vector<NamedArray> found = train({.backend = "cpu", .threads = 2}, DType::kF32);
  for (size_t i = 0; i < wanted.size(); ++i) {
    // First moments are averaged gradients: they differ by rounding alone.
    if (!wanted[i].name.starts_with("optimizer/m/")) continue;
    const auto a = found[i].array.values<float>(), b = wanted[i].array.values<float>();
    double difference = 0.0, norm = 0.0;
    for (size_t j = 0; j < a.size(); ++j) {
      difference += (double{a[j]} - double{b[j]}) * (double{a[j]} - double{b[j]});
      norm += double{b[j]} * double{b[j]};
    }
    EXPECT_GT(norm, 0.0) << wanted[i].name;
    EXPECT_LE(std::sqrt(difference / norm), 1e-3) << wanted[i].name;
  }
  EXPECT_TRUE(SameBits(train({.backend = "cpu", .threads = 1}, DType::kBF16),
                       train({.backend = "cpu", .threads = 5}, DType::kBF16)));
}

TEST_F(FlowTrainerTest, MicroBatchesAddUpToTheBatch) {
  std::vector<NamedArray> results[2];
  for (const int cut : {0, 1}) {
    VideoDit model = Model(DType::kF32);
    Stir(model, 2);
    FlowTrainer trainer(model, TinyTraining(), 5);
    const ClipBatch whole = Batch(3, 3);
    ClipBatch a{whole.clips.Slice(0, 0, 1), {0}, Tensor()};
    ClipBatch b{whole.clips.Slice(0, 1, 3), {1, 2}, Tensor()};
    if (cut != 0) {
      trainer.Step({a, b});
    } else {
      trainer.Step({whole});
    }
    for (const auto& p : model.parameters().all()) {
      results[cut].push_back({p->name, p->grad.ToHost()});
    }
  }
  for (size_t i = 0; i < results[0].size(); ++i) {
    const auto a = results[0][i].array.values<float>(), b = results[1][i].array.values<float>();
    double norm = 0.0, difference = 0.0;
    for (size_t j = 0; j < a.size(); ++j) {
      norm += double{a[j]} * double{a[j]};
      difference += (double{a[j]} - double{b[j]}) * (double{a[j]} - double{b[j]});
    }
    EXPECT_LE(std::sqrt(difference), 1e-5 * std::sqrt(norm) + 1e-7) << results[0][i].name;
  }
}

TEST_F(FlowTrainerTest, CheckpointingKeepsTheBits) {
  const Setting sparse = Sparse();
  std::vector<NamedArray> results[2];
  for (const bool checkpoint : {false, true}) {
    VideoDit model = Model(DType::kBF16);
    Stir(model, 2);
    FlowTrainingConfig config = TinyTraining();
    config.checkpoint = checkpoint;
    FlowTrainer trainer(model, config, 5, nullptr, &sparse, {8, 4});
    for (int step = 0; step < 2; ++step) trainer.Step({Batch(2, 3)});
    results[checkpoint ? 1 : 0] = trainer.Export();
  }
  EXPECT_TRUE(SameBits(results[0], results[1]));
}

TEST_F(FlowTrainerTest, SixStepsAreThreeAndThreeMore) {
  const Setting sparse = Sparse();
  const auto train = [&](FlowTrainer& trainer, int from, int to) {
    for (int step = from; step < to; ++step) {
      trainer.Step({Batch(2, static_cast<uint64_t>(10 + step))});
    }
  };
  VideoDit straight = Model(DType::kBF16);
  FlowTrainer one(straight, TinyTraining(), 5, nullptr, &sparse, {8, 4});
  train(one, 0, 6);

  VideoDit before = Model(DType::kBF16);
  FlowTrainer first(before, TinyTraining(), 5, nullptr, &sparse, {8, 4});
  train(first, 0, 3);
  VideoDit after = Model(DType::kBF16, 77);  // other masters, which Import replaces
  FlowTrainer second(after, TinyTraining(), 5, nullptr, &sparse, {8, 4});
  second.Import(first.Export(), "test");
  train(second, 3, 6);

  EXPECT_TRUE(SameBits(one.Export(), second.Export()));
  EXPECT_EQ(one.Finish()->loss, second.Finish()->loss);
}

TEST_F(FlowTrainerTest, LeavesTheMovingAverageIfThereIsOneElseTheMasters) {
  for (const double decay : {0.0, 0.9}) {
    VideoDit model = Model(DType::kF32);
    FlowTrainingConfig config = TinyTraining();
    config.optimizer.ema_decay = decay;
    FlowTrainer trainer(model, config, 5);
    for (uint64_t step = 0; step < 3; ++step) trainer.Step({Batch(2, 10 + step)});
    const std::vector<NamedArray> masters = model.parameters().Export();
    const std::vector<NamedArray> left = trainer.UseTrained();
    EXPECT_EQ(SameBits(left, masters), decay == 0);
    EXPECT_TRUE(SameBits(model.parameters().Export(), left));
  }
}

TEST_F(FlowTrainerTest, DistillationOfADenseTeacherStartsAtZeroForADenseStudent) {
  VideoDit teacher = Model(DType::kF32), student = Model(DType::kF32);
  Stir(teacher, 2);
  student.parameters().Import(teacher.parameters().Export(), "test");
  ModelTeacher followed(teacher);
  FlowTrainer dense(student, TinyTraining(), 5, &followed);
  dense.Step({Batch(2, 3)});
  EXPECT_EQ(dense.Finish()->loss, 0.0);

  // A sparse student differs, and training brings it closer at the same samples.
  student.parameters().Import(teacher.parameters().Export(), "test");
  Setting sparse = Sparse();
  sparse.k = {200'000};
  FlowTrainer trainer(student, TinyTraining(), 5, &followed, &sparse, {8, 4});
  double first = 0.0, last = 0.0;
  for (int step = 0; step < 40; ++step) {
    trainer.Step({Batch(2, 3)});
    const double loss = trainer.Finish()->loss;
    if (step < 5) first += loss;
    if (step >= 35) last += loss;
  }
  EXPECT_GT(first, 0.0);
  EXPECT_LT(last, 0.8 * first);
}

class FlowDiagnosisTest : public FlowTrainerTest {
 protected:
  // What a step over `batch` is refused with; the weights stay as they were.
  std::string Refusal(VideoDit& model, const ClipBatch& batch) {
    FlowTrainer trainer(model, TinyTraining(), 5);
    trainer.Step({Batch(2, 3)});
    EXPECT_TRUE(trainer.Finish());
    if (spoil) spoil(model);
    const std::vector<NamedArray> before = trainer.Export();
    trainer.Step({Batch(1, 4), batch});
    std::string message;
    try {
      trainer.Step({Batch(2, 3)});
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ExitCode::kFailed);
      message = e.what();
    }
    const std::vector<NamedArray> after = trainer.Export();
    for (size_t i = 0; i < before.size(); ++i) {
      if (before[i].name.starts_with("master/") || before[i].name.starts_with("optimizer/m/")) {
        EXPECT_TRUE(SameBits(before[i].array, after[i].array)) << before[i].name;
      }
    }
    return message;
  }
  void Scale(VideoDit& model, const std::string& name, float factor) {
    std::vector<NamedArray> arrays = model.parameters().Export();
    for (NamedArray& named : arrays) {
      if (named.name != name) continue;
      for (float& x : named.array.values<float>()) x *= factor;
    }
    model.parameters().Import(arrays, "test");
  }
  std::function<void(VideoDit&)> spoil;
};

TEST_F(FlowDiagnosisTest, NamesTheStepAndThePartThatOverflows) {
  for (const std::string part : {"blocks.0.attn", "blocks.1.mlp"}) {
    VideoDit model = Model(DType::kF32);
    Stir(model, 2);
    spoil = [&](VideoDit& m) {
      // Weights and inputs are finite; what the part gives is not.
      Scale(m, part == "blocks.1.mlp" ? "blocks.1.mlp.0.weight" : "blocks.0.attn.qkv.weight",
            1e20f);
      Scale(m, part == "blocks.1.mlp" ? "blocks.1.mlp.2.weight" : "blocks.0.attn.out.weight",
            1e25f);
    };
    const std::string message = Refusal(model, Batch(2, 3));
    EXPECT_NE(message.find("step 2: loss "), std::string::npos) << message;
    EXPECT_NE(message.find("in " + part + ", of sample 2 of the run"), std::string::npos)
        << message;
  }
}

TEST_F(FlowDiagnosisTest, NamesAClipThatIsNotANumber) {
  VideoDit model = Model(DType::kF32);
  HostArray clips = RandomClips(2, 3);
  clips.values<float>()[clips.values<float>().size() - 1] = NAN;
  const ClipBatch batch{Tensor::FromHost(context, clips), {0, 1}, Tensor()};
  const std::string message = Refusal(model, batch);
  EXPECT_NE(message.find("in the clip itself, of sample 4 of the run"), std::string::npos)
      << message;
}

TEST_F(FlowDiagnosisTest, NamesTheLargestGradient) {
  VideoDit model = Model(DType::kF32);
  Stir(model, 2);
  Scale(model, "final.weight", 1e-3f);
  FlowTrainer trainer(model, TinyTraining(), 5);
  trainer.Step({Batch(2, 3)});
  const FlowTrainer::LargestGradient largest = trainer.FindLargestGradient();
  const HostArray gradient = model.parameters()[largest.parameter].grad.ToHost();
  double square = 0;
  for (const float g : gradient.values<float>()) square += double{g} * double{g};
  EXPECT_NEAR(largest.share, std::sqrt(square) / trainer.Finish()->gradient_norm, 1e-5);
  for (const auto& p : model.parameters().all()) {
    double other = 0;
    const HostArray values = p->grad.ToHost();
    for (const float g : values.values<float>()) other += double{g} * double{g};
    EXPECT_LE(other, square * (1 + 1e-5)) << p->name;
  }
}

// A setting with time intervals gives each sample of a batch its own plan.
TEST_F(FlowTrainerTest, SettingsThatChangeWithTimeRunSampleBySample) {
  Setting timed = Sparse();
  SettingRule early{.rule = "dense"};
  early.t_begin = 0.5;
  timed.except = {early};
  double losses[2];
  for (const int cut : {0, 1}) {
    VideoDit model = Model(DType::kF32);
    Stir(model, 2);
    FlowTrainer trainer(model, TinyTraining(), 5, nullptr, &timed, {8, 4});
    const ClipBatch whole = Batch(3, 3);
    std::vector<ClipBatch> parts;
    for (int64_t b = 0; b < 3; ++b) {
      parts.push_back({whole.clips.Slice(0, b, b + 1), {static_cast<int32_t>(b)}, Tensor()});
    }
    trainer.Step(cut != 0 ? parts : std::vector<ClipBatch>{whole});
    losses[cut] = trainer.Finish()->loss;
  }
  EXPECT_EQ(losses[0], losses[1]);
}

}  // namespace
}  // namespace suffice
