// SPDX-License-Identifier: Apache-2.0
#include "lib/nn/adamw.h"

#include "tests/nn/grad_check.h"

namespace suffice {
namespace {

using testing::RandomArray;

class AdamWTest : public ::testing::Test {
 protected:
  ParameterSet MakeSet() {
    ParameterSet set(context, DType::kBF16);
    set.Add("w", {3, 4}, Init::Glorot(4, 3));
    set.Add("b", {4}, Init::One());
    set.Initialize(5);
    return set;
  }
  static void SetGradient(ParameterSet& set, uint64_t seed, float scale = 1.0f) {
    for (const auto& p : set.all()) p->grad.CopyFromHost(RandomArray(p->shape, seed, scale));
  }
  static bool SameBits(const std::vector<NamedArray>& a, const std::vector<NamedArray>& b) {
    for (size_t i = 0; i < a.size(); ++i) {
      if (a[i].name != b[i].name ||
          !std::equal(a[i].array.data(), a[i].array.data() + a[i].array.bytes(),
                      b[i].array.data())) {
        return false;
      }
    }
    return a.size() == b.size();
  }
  Context context{{.backend = "ref"}};
};

TEST_F(AdamWTest, FirstStepMovesByTheRateAgainstTheGradient) {
  ParameterSet set = MakeSet();
  const HostArray before = set["w"].master.ToHost();
  AdamW optimizer(set, {.lr = 0.1, .clip_norm = 0, .warmup_steps = 0});
  SetGradient(set, 1);
  optimizer.Step();
  const HostArray after = set["w"].master.ToHost(), gradient = set["w"].grad.ToHost();
  const HostArray compute = set["w"].compute.ToHost();
  for (size_t i = 0; i < after.values<float>().size(); ++i) {
    const float sign = gradient.values<float>()[i] > 0 ? 1.0f : -1.0f;
    EXPECT_NEAR(after.values<float>()[i], before.values<float>()[i] - 0.1f * sign, 1e-5);
    EXPECT_EQ(compute.values<BFloat16>()[i].bits, ToBFloat16(after.values<float>()[i]).bits);
  }
}

TEST_F(AdamWTest, ClippingMakesTheStepIndependentOfTheGradientsSize) {
  std::vector<NamedArray> results[2];
  for (const int large : {0, 1}) {
    ParameterSet set = MakeSet();
    AdamW optimizer(set, {.lr = 0.1, .eps = 1.0, .clip_norm = 0.01, .warmup_steps = 0});
    SetGradient(set, 1, large != 0 ? 64.0f : 1.0f);
    optimizer.Step();
    results[large] = set.Export();
  }
  for (size_t i = 0; i < results[0].size(); ++i) {
    const auto a = results[0][i].array.values<float>(), b = results[1][i].array.values<float>();
    for (size_t j = 0; j < a.size(); ++j) EXPECT_NEAR(a[j], b[j], 1e-6);
  }
}

TEST_F(AdamWTest, GradientsThatAreNotFiniteChangeNothing) {
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    ParameterSet set = MakeSet();
    AdamW optimizer(set, {.lr = 0.1, .warmup_steps = 0, .ema_decay = 0.9});
    SetGradient(set, 1);
    optimizer.Step();
    const std::vector<NamedArray> masters = set.Export(), ema = optimizer.ExportEma();
    HostArray gradient = set["w"].grad.ToHost();
    gradient.values<float>()[5] = bad;
    set["w"].grad.CopyFromHost(gradient);
    optimizer.Step();
    EXPECT_TRUE(SameBits(set.Export(), masters));
    EXPECT_TRUE(SameBits(optimizer.ExportEma(), ema));
    EXPECT_FALSE(std::isfinite(optimizer.gradient_square_sum().ToHost().values<float>()[0]));
  }
}

TEST_F(AdamWTest, RateWarmsUpAndDecays) {
  ParameterSet set = MakeSet();
  const AdamW optimizer(set, {.lr = 1.0, .warmup_steps = 10, .decay_steps = 110, .final_lr = 0.1});
  EXPECT_DOUBLE_EQ(optimizer.LrAt(1), 0.1);
  EXPECT_DOUBLE_EQ(optimizer.LrAt(10), 1.0);
  EXPECT_NEAR(optimizer.LrAt(60), 0.55, 1e-12);
  EXPECT_NEAR(optimizer.LrAt(110), 0.1, 1e-12);
  EXPECT_NEAR(optimizer.LrAt(500), 0.1, 1e-12);
}

TEST_F(AdamWTest, ResumesBitForBit) {
  const AdamWConfig config{.weight_decay = 0.1, .warmup_steps = 3, .ema_decay = 0.99};
  ParameterSet straight = MakeSet();
  AdamW one(straight, config);
  for (uint64_t step = 0; step < 4; ++step) {
    SetGradient(straight, step);
    one.Step();
  }
  ParameterSet first = MakeSet();
  AdamW before(first, config);
  for (uint64_t step = 0; step < 2; ++step) {
    SetGradient(first, step);
    before.Step();
  }
  ParameterSet second = MakeSet();
  second.Import(first.Export(), "test");
  AdamW after(second, config);
  after.Import(before.Export(), "test");
  for (uint64_t step = 2; step < 4; ++step) {
    SetGradient(second, step);
    after.Step();
  }
  EXPECT_TRUE(SameBits(straight.Export(), second.Export()));
  EXPECT_TRUE(SameBits(one.Export(), after.Export()));
  EXPECT_TRUE(SameBits(one.ExportEma(), after.ExportEma()));
}

TEST_F(AdamWTest, ImportRefusesWhatDoesNotFit) {
  ParameterSet set = MakeSet();
  std::vector<NamedArray> arrays = set.Export();
  const auto message = [&](const std::vector<NamedArray>& given) {
    try {
      set.Import(given, "x.h5");
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::kData);
      return std::string(error.what());
    }
    return std::string();
  };
  EXPECT_EQ(message({arrays[0]}), "x.h5: b: missing");
  EXPECT_EQ(message({arrays[0], arrays[1], {"c", HostArray(DType::kF32, {1})}}),
            "x.h5: c: not in the model");
  EXPECT_EQ(message({arrays[0], arrays[1], arrays[1]}), "x.h5: b: given twice");
  arrays[1].array = HostArray(DType::kF32, {5});
  EXPECT_EQ(message(arrays), "x.h5: b: shape (5), the model wants (4)");
}

}  // namespace
}  // namespace suffice
