// SPDX-License-Identifier: Apache-2.0
#include "lib/model/video_dit.h"

#include <gtest/gtest.h>

#include <cmath>

#include "lib/model/rectified_flow.h"
#include "tests/model/model_testing.h"

namespace suffice {
namespace {

using testing::RandomClips;
using testing::SameBits;
using testing::Stir;
using testing::TinyConfig;

class VideoDitTest : public ::testing::Test {
 protected:
  Conditioning Condition(const std::vector<double>& t, const std::vector<int32_t>& labels) {
    Conditioning c;
    c.t = TimesTensor(context, t);
    c.labels = Tensor::FromHost(
        context, HostArray::From<int32_t>({static_cast<int64_t>(labels.size())}, labels));
    return c;
  }
  static double Distance(const HostArray& a, const HostArray& b) {
    double difference = 0.0, norm = 0.0;
    for (size_t i = 0; i < a.values<float>().size(); ++i) {
      const double d = double{a.values<float>()[i]} - double{b.values<float>()[i]};
      difference += d * d;
      norm += double{b.values<float>()[i]} * double{b.values<float>()[i]};
    }
    return std::sqrt(difference / norm);
  }
  Context context{{.backend = "ref"}};
};

TEST_F(VideoDitTest, StartsAtZeroVelocity) {
  VideoDit model(context, TinyConfig(), DType::kF32);
  model.parameters().Initialize(1);
  const Tensor clips = Tensor::FromHost(context, RandomClips(2, 1));
  const HostArray u = model.Velocity(clips, Condition({0.3, 0.9}, {0, 3})).ToHost();
  EXPECT_EQ(u.shape(), clips.shape());
  for (const float x : u.values<float>()) EXPECT_EQ(x, 0.0f);
}

TEST_F(VideoDitTest, SamplesOfABatchAreIndependent) {
  VideoDit model(context, TinyConfig(), DType::kF32);
  model.parameters().Initialize(1);
  Stir(model, 2);
  const Tensor clips = Tensor::FromHost(context, RandomClips(2, 1));
  const HostArray both = model.Velocity(clips, Condition({0.3, 0.9}, {0, 3})).ToHost();
  for (int64_t b = 0; b < 2; ++b) {
    const auto i = static_cast<size_t>(b);
    const HostArray one =
        model.Velocity(clips.Slice(0, b, b + 1), Condition({b == 0 ? 0.3 : 0.9}, {b == 0 ? 0 : 3}))
            .ToHost();
    const size_t n = one.values<float>().size();
    EXPECT_TRUE(std::equal(one.values<float>().begin(), one.values<float>().end(),
                           both.values<float>().begin() + static_cast<ptrdiff_t>(i * n)));
  }
}

// Attention does not care in which order tokens lie, once positions go with them.
TEST_F(VideoDitTest, TokenOrderDoesNotChangeADenseModel) {
  HostArray velocity[2];
  for (const int tiles : {0, 1}) {
    VideoDitConfig config = TinyConfig();
    config.token_order = tiles != 0 ? "tiles" : "raster";
    VideoDit model(context, config, DType::kF32);
    model.parameters().Initialize(1);
    Stir(model, 2);
    velocity[tiles] =
        model.Velocity(Tensor::FromHost(context, RandomClips(2, 1)), Condition({0.3, 0.9}, {0, 3}))
            .ToHost();
  }
  EXPECT_LT(Distance(velocity[0], velocity[1]), 1e-5);
}

TEST_F(VideoDitTest, CpuAgreesWithRef) {
  const auto run = [](const ContextOptions& options, DType compute) {
    Context other(options);
    VideoDit model(other, TinyConfig(), compute);
    model.parameters().Initialize(1);
    Stir(model, 2);
    Conditioning c;
    c.t = TimesTensor(other, {0.3, 0.9});
    c.labels = Tensor::FromHost(other, HostArray::From<int32_t>({2}, {{0, 3}}));
    return model.Velocity(Tensor::FromHost(other, RandomClips(2, 1)), c).ToHost();
  };
  const HostArray wanted = run({.backend = "ref"}, DType::kF32);
  EXPECT_LT(Distance(run({.backend = "cpu", .threads = 2}, DType::kF32), wanted), 1e-5);
  EXPECT_LT(Distance(run({.backend = "cpu", .threads = 2}, DType::kBF16), wanted), 4e-2);
  EXPECT_TRUE(SameBits(run({.backend = "cpu", .threads = 1}, DType::kBF16),
                       run({.backend = "cpu", .threads = 5}, DType::kBF16)));
}

TEST_F(VideoDitTest, CrossAttentionReadsTheContext) {
  VideoDitConfig config = TinyConfig();
  config.context_dim = 5;
  VideoDit model(context, config, DType::kF32);
  model.parameters().Initialize(1);
  Stir(model, 2);
  const Tensor clips = Tensor::FromHost(context, RandomClips(1, 1));
  HostArray velocity[2];
  for (const int which : {0, 1}) {
    Conditioning c = Condition({0.5}, {1});
    HostArray words(DType::kF32, {1, 3, 5});
    for (float& x : words.values<float>()) x = static_cast<float>(which);
    c.context = Tensor::FromHost(context, words);
    velocity[which] = model.Velocity(clips, c).ToHost();
  }
  EXPECT_GT(Distance(velocity[0], velocity[1]), 1e-3);
}

TEST_F(VideoDitTest, AnObserverSeesEachLayerOnceAndAPlanIsFollowed) {
  VideoDit model(context, TinyConfig(), DType::kF32);
  model.parameters().Initialize(1);
  Stir(model, 2);
  Setting setting;
  setting.rule = "topk";
  setting.k = {500'000};
  SettingRule except;
  except.rule = "dense";
  except.layers = {1};
  setting.except = {except};
  const AttentionPlan plan = PlanAt(setting, {8, 4}, 2, 2, 0.5);
  std::vector<int64_t> layers;
  ForwardOptions options{.plan = &plan};
  options.observer = [&](int64_t layer, const AttentionTrace& trace) {
    layers.push_back(layer);
    EXPECT_EQ(trace.q.shape(), (Shape{1, 2, 24, 8}));
    EXPECT_EQ(trace.row_ptr.empty(), layer == 1);
    // Three of six key blocks in each of two heads' three rows.
    if (layer == 0) {
      EXPECT_EQ(trace.row_ptr.ToHost().values<int64_t>().back(), 2 * 3 * 3);
    }
  };
  model.Velocity(Tensor::FromHost(context, RandomClips(1, 1)), Condition({0.5}, {0}), options);
  EXPECT_EQ(layers, (std::vector<int64_t>{0, 1}));
}

TEST_F(VideoDitTest, PlansFollowLayersHeadsAndTimes) {
  Setting setting;
  setting.rule = "topk";
  setting.k = {400'000};
  SettingRule dense{.rule = "dense", .layers = {1}}, late{.rule = "dense", .heads = {0}};
  late.t_end = 0.2;
  setting.except = {dense, late};
  const AttentionPlan noisy = PlanAt(setting, {64, 64}, 2, 3, 0.5);
  EXPECT_FALSE(noisy.layers[0].dense);
  EXPECT_TRUE(noisy.layers[0].heads.empty());
  EXPECT_EQ(noisy.layers[0].setting.k_ppm, 400'000);
  EXPECT_EQ(noisy.layers[0].block, (BlockSize{64, 64}));
  EXPECT_TRUE(noisy.layers[1].dense);
  const AttentionPlan clean = PlanAt(setting, {64, 64}, 2, 3, 0.1);
  ASSERT_EQ(clean.layers[0].heads.size(), 3u);
  EXPECT_EQ(clean.layers[0].heads[0].p_ppm, 1'000'000);
  EXPECT_EQ(clean.layers[0].heads[1].k_ppm, 400'000);
  EXPECT_TRUE(SamePlan(setting, 2, 3, {0.5, 0.9}));
  EXPECT_FALSE(SamePlan(setting, 2, 3, {0.5, 0.1}));
  EXPECT_TRUE(PlanAt(DenseSetting(), {}, 1, 3, 0.5).layers[0].dense);
}

TEST_F(VideoDitTest, RefusesWhatDoesNotFit) {
  const auto message = [](const auto& body) {
    try {
      body();
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::kUsage);
      return std::string(error.what());
    }
    return std::string();
  };
  VideoDitConfig config = TinyConfig();
  config.heads = 3;
  EXPECT_EQ(message([&] { CheckConfig(config, "m.yaml"); }),
            "m.yaml: model: width must be a multiple of heads");
  config = TinyConfig();
  config.rope_split = {4, 2, 4};
  EXPECT_EQ(message([&] { CheckConfig(config, "m.yaml"); }),
            "m.yaml: model: rope_split must sum to width / heads");
  VideoDit model(context, TinyConfig(), DType::kF32);
  EXPECT_EQ(message([&] {
              model.GeometryOf({1, 2, 4, 5, 4});
            }),
            "video: shape (1, 2, 4, 5, 4), the model wants whole patches of (1, 2, 2)");
}

}  // namespace
}  // namespace suffice
