// SPDX-License-Identifier: Apache-2.0
#include "lib/model/rectified_flow.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

namespace suffice {
namespace {

class RectifiedFlow : public ::testing::Test {
 protected:
  Tensor Values(const std::vector<float>& values) {
    return Tensor::FromHost(
        context, HostArray::From<float>({static_cast<int64_t>(values.size()), 1}, values));
  }
  Context context{{.backend = "ref"}};
};

TEST_F(RectifiedFlow, MixesPerSampleAndPointsFromDataToNoise) {
  const Tensor x0 = Values({1.0f, 2.0f}), eps = Values({3.0f, -2.0f});
  const HostArray mixed = MixNoise(x0, eps, {0.25, 1.0}).ToHost();
  EXPECT_FLOAT_EQ(mixed.values<float>()[0], 1.5f);
  EXPECT_FLOAT_EQ(mixed.values<float>()[1], -2.0f);
  const HostArray u = FlowVelocity(x0, eps).ToHost();
  EXPECT_FLOAT_EQ(u.values<float>()[0], 2.0f);
  EXPECT_FLOAT_EQ(u.values<float>()[1], -4.0f);
}

// The median of sigmoid(N(mean, d)) is sigmoid(mean); shifting is monotone, so it moves the median.
TEST_F(RectifiedFlow, TimeLawsHaveTheirMediansAndStayInside) {
  const auto median = [](const TimeLaw& law) {
    std::vector<double> t;
    for (uint64_t i = 0; i < 4001; ++i) t.push_back(SampleTime(law, 3, i));
    std::sort(t.begin(), t.end());
    EXPECT_GT(t.front(), 0.0);
    EXPECT_LT(t.back(), 1.0);
    return t[2000];
  };
  EXPECT_NEAR(median({.law = "uniform"}), 0.5, 0.03);
  EXPECT_NEAR(median({.law = "uniform", .shift = 3.0}), 0.75, 0.03);
  EXPECT_NEAR(median({.law = "logit_normal", .mean = 1.5, .deviation = 1.6}),
              1.0 / (1.0 + std::exp(-1.5)), 0.03);
  EXPECT_THROW(SampleTime({.law = "beta"}, 1, 0), Error);
}

TEST_F(RectifiedFlow, GridRunsFromOneToZero) {
  EXPECT_EQ(TimeGrid(4, 1.0), (std::vector<double>{1.0, 0.75, 0.5, 0.25, 0.0}));
  const std::vector<double> shifted = TimeGrid(4, 3.0);
  EXPECT_DOUBLE_EQ(shifted[2], 0.75);
  EXPECT_DOUBLE_EQ(shifted.back(), 0.0);
}

// dx/dt = x has the solution x(0) = x(1) / e: Euler's error falls like 1 / steps, Heun's like its
// square. The velocity of a straight flow is constant, and one Euler step is exact.
TEST_F(RectifiedFlow, SolversHaveTheirOrders) {
  const auto error = [&](Solver solver, int64_t steps) {
    const auto identity = [&](const Tensor& x, double) {
      return Tensor::FromHost(context, x.ToHost());
    };
    const Tensor x = Integrate(solver, identity, Values({1.0f}), TimeGrid(steps, 1.0));
    return std::abs(double{x.ToHost().values<float>()[0]} - std::exp(-1.0));
  };
  EXPECT_NEAR(error(Solver::kEuler, 20) / error(Solver::kEuler, 40), 2.0, 0.2);
  // The last step is Euler's: its local error is of second order too.
  EXPECT_NEAR(error(Solver::kHeun, 10) / error(Solver::kHeun, 20), 4.0, 0.8);
  const Tensor x0 = Values({2.0f}), eps = Values({-1.0f});
  const auto straight = [&](const Tensor&, double) { return FlowVelocity(x0, eps); };
  EXPECT_NEAR(
      Integrate(Solver::kEuler, straight, eps, TimeGrid(1, 1.0)).ToHost().values<float>()[0], 2.0f,
      1e-6);
}

TEST_F(RectifiedFlow, GuidanceExtrapolatesAndOneIsTheConditional) {
  int unconditional_calls = 0;
  const auto c = [&](const Tensor&, double) { return Values({3.0f}); };
  const auto u = [&](const Tensor&, double) {
    ++unconditional_calls;
    return Values({1.0f});
  };
  const Tensor x = Values({0.0f});
  EXPECT_FLOAT_EQ(Guided(c, u, 2.5)(x, 0.5).ToHost().values<float>()[0], 6.0f);
  EXPECT_FLOAT_EQ(Guided(c, u, 1.0)(x, 0.5).ToHost().values<float>()[0], 3.0f);
  EXPECT_EQ(unconditional_calls, 1);
}

}  // namespace
}  // namespace suffice
