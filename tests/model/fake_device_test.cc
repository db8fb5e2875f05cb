// SPDX-License-Identifier: Apache-2.0
// Training and sampling where the host cannot read device memory: nothing above kernels/ may try.
#include "tests/kernels/fake_device.h"

#include <gtest/gtest.h>

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
  for (int step = 0; step < 2; ++step) {
    trainer.Step({{Tensor::FromHost(context, RandomClips(2, 3)), {0, 1}, Tensor()}});
  }
  std::vector<NamedArray> results = trainer.Export();
  const auto velocity = [&](int32_t label) {
    return [&, label](const Tensor& x, double t) {
      const AttentionPlan plan = PlanAt(sparse, {8, 4}, 2, 2, t);
      Conditioning c;
      c.t = TimesTensor(context, {t});
      c.labels = Tensor::FromHost(context, HostArray::From<int32_t>({1}, {{label}}));
      return model.Velocity(x, c, {.plan = &plan});
    };
  };
  const Tensor noise = FlowNoise(context, {1, 2, 4, 6, 4}, 7, 0);
  const Tensor sample =
      Integrate(Solver::kHeun, Guided(velocity(1), velocity(3), 2.0), noise, TimeGrid(3, 2.0));
  results.push_back({"sample", sample.ToHost()});
  return results;
}

TEST(FakeDeviceModel, TrainsAndSamplesWithTheBitsOfRef) {
  testing::FakeDevice();
  Context fake({.backend = "fake"}), ref({.backend = "ref"});
  EXPECT_TRUE(SameBits(TrainAndSample(fake), TrainAndSample(ref)));
}

}  // namespace
}  // namespace suffice
