// SPDX-License-Identifier: Apache-2.0
// Training and sampling where the host cannot read device memory: nothing above kernels/ may try.
#include "tests/kernels/fake_device.h"

#include <gtest/gtest.h>

#include "lib/model/held_out.h"
#include "lib/model/steady_velocity.h"
#include "tests/model/model_testing.h"

namespace suffice {
namespace {

using testing::RandomClips;
using testing::SameBits;
using testing::Stir;
using testing::TinyConfig;

std::vector<NamedArray> TrainAndSample(Context& context) {
  VideoDit teacher(context, TinyConfig(), DType::kBF16), model(context, TinyConfig(), DType::kBF16);
  teacher.parameters().Initialize(1);
  Stir(teacher, 2);
  model.parameters().Import(teacher.parameters().Export(), "test");
  FlowTrainingConfig config;
  config.optimizer.ema_decay = 0.9;
  config.checkpoint = true;
  Setting sparse;
  sparse.rule = "topk";
  sparse.k = {300'000};
  ModelTeacher followed(teacher);
  FlowTrainer trainer(model, config, 5, &followed, &sparse, {8, 4});
  // Recorded at the second step, replayed at the third with other clips and labels.
  for (uint64_t step = 0; step < 3; ++step) {
    trainer.Step({{Tensor::FromHost(context, RandomClips(2, 3 + step)), {0, 1}, Tensor()},
                  {Tensor::FromHost(context, RandomClips(2, 9 + step)), {2, 1}, Tensor()}});
  }
  std::vector<NamedArray> results = trainer.Export();
  // Another plan from t = 0.5 on.
  sparse.except = {{.rule = "dense", .layers = {1}, .t_begin = 0.5}};
  const Shape shape = {1, 2, 4, 6, 4};
  SteadyVelocity conditional(model, sparse, {8, 4}, shape),
      unconditional = {model, sparse, {8, 4}, shape};
  conditional.SetLabels({1});
  unconditional.SetLabels({3});
  const auto velocity = [](SteadyVelocity& of) {
    return [&of](const Tensor& x, double t) { return of(x, t); };
  };
  const Tensor sample =
      Integrate(Solver::kHeun, Guided(velocity(conditional), velocity(unconditional), 2.0),
                FlowNoise(context, shape, 7, 0), TimeGrid(5, 2.0));
  results.push_back({"sample", sample.ToHost()});
  const PairCount pairs = conditional.TakePairs();
  const int64_t counts[] = {pairs.kept, pairs.allowed};
  results.push_back({"pairs", HostArray::From<int64_t>({2}, counts)});
  return results;
}

// Why there is no GPU to run on, or nothing.
std::optional<std::string> CudaUnavailable() {
  for (const Backend* backend : Backends()) {
    if (std::string(backend->name) == "cuda") return backend->unavailable(0);
  }
  return "not in this build";
}

// What a steady velocity gives and counts is what the model gives and its lists hold.
TEST(SteadyVelocity, IsTheModelsVelocity) {
  testing::FakeDevice();
  Context context({.backend = "fake"});
  VideoDit model(context, TinyConfig(), DType::kF32);
  model.parameters().Initialize(1);
  Stir(model, 2);
  Setting sparse;
  sparse.rule = "topk";
  sparse.k = {300'000};
  const Shape shape = {2, 2, 4, 6, 4};
  SteadyVelocity velocity(model, sparse, {8, 4}, shape);
  for (int32_t n = 0; n < 4; ++n) {
    const Tensor x = Tensor::FromHost(context, RandomClips(2, 20 + static_cast<uint64_t>(n)));
    const double t = 0.2 * (n + 1);
    const std::vector<int32_t> labels = {n % 3, 3};
    velocity.SetLabels(labels);
    const Conditioning condition{TimesTensor(context, {t, t}),
                                 Tensor::FromHost(context, HostArray::From<int32_t>({2}, labels)),
                                 {}};
    PairCount wanted;
    const Tensor direct = VelocityUnder(model, x, condition, t, sparse, {8, 4}, &wanted);
    EXPECT_TRUE(SameBits(velocity(x, t).ToHost(), direct.ToHost())) << n;
    const PairCount pairs = velocity.TakePairs();
    EXPECT_EQ(pairs.kept, wanted.kept);
    EXPECT_EQ(pairs.allowed, wanted.allowed);
    EXPECT_GT(pairs.kept, 0);
    EXPECT_LT(pairs.kept, pairs.allowed);
  }
}

TEST(FakeDeviceModel, TrainsAndSamplesWithTheBitsOfRef) {
  testing::FakeDevice();
  Context fake({.backend = "fake"}), ref({.backend = "ref"});
  EXPECT_TRUE(SameBits(TrainAndSample(fake), TrainAndSample(ref)));
}

// While operations are profiled nothing is recorded.
TEST(CudaModel, RecordedStepsHaveTheBitsOfOthers) {
  if (const auto reason = CudaUnavailable()) GTEST_SKIP() << *reason;
  Context recording({.backend = "cuda"}), plain({.backend = "cuda"});
  plain.StartProfile();
  EXPECT_TRUE(SameBits(TrainAndSample(recording), TrainAndSample(plain)));
}

}  // namespace
}  // namespace suffice
