// SPDX-License-Identifier: Apache-2.0
#include "lib/stats/inference.h"

#include <gtest/gtest.h>

#include <cmath>

#include "lib/base/philox.h"

namespace suffice {
namespace {

TEST(BinomialPValue, ZeroFailuresIsAPower) {
  EXPECT_NEAR(BinomialPValue(22, 0, 0.1), std::pow(0.9, 22), 1e-12);
  EXPECT_EQ(BinomialPValue(0, 0, 0.1), 1.0);
  EXPECT_EQ(BinomialPValue(5, 5, 0.1), 1.0);
}

// Values computed independently for (n, mean, alpha).
TEST(HoeffdingBentkus, MatchesIndependentValues) {
  EXPECT_NEAR(HoeffdingBentkusPValue(100, .05, .1), 0.1565, 5e-5);
  EXPECT_NEAR(HoeffdingBentkusPValue(200, .05, .1), 0.02194, 5e-6);
  EXPECT_NEAR(HoeffdingBentkusPValue(500, .07, .1), 0.03349, 5e-6);
  EXPECT_NEAR(HoeffdingBentkusPValue(1000, .08, .1), 0.04787, 5e-6);
}

TEST(UnitsToCertify, MatchesTheTable) {
  EXPECT_EQ(UnitsToCertify(.1, .1), 22);
  EXPECT_EQ(UnitsToCertify(.05, .05), 59);
  EXPECT_EQ(UnitsToCertify(.01, .01), 459);
  const int64_t at_tenth[] = {22, 38, 52, 65, 78, 91};
  const int64_t at_twentieth[] = {45, 77, 105, 132, 158, 184};
  for (int64_t k = 0; k < 6; ++k) {
    EXPECT_EQ(UnitsToCertify(.1, .1, k), at_tenth[k]);
    EXPECT_EQ(UnitsToCertify(.05, .1, k), at_twentieth[k]);
  }
}

TEST(FixedSequence, StopsAtTheFirstThatFails) {
  const double p[] = {0.01, 0.04, 0.2, 0.001};
  EXPECT_EQ(FixedSequence(p, 0.05), 2u);
  EXPECT_EQ(FixedSequence(p, 0.5), 4u);
  const double nan[] = {std::nan("")};
  EXPECT_EQ(FixedSequence(nan, 0.5), 0u);
}

// Under the null at its edge, the p-value is at most delta with probability at most delta.
TEST(PValues, AreValidAtTheEdgeOfTheNull) {
  constexpr int kTrials = 4000, kUnits = 60;
  int binomial = 0, bounded = 0;
  for (int trial = 0; trial < kTrials; ++trial) {
    int64_t failures = 0;
    for (int i = 0; i < kUnits; ++i) {
      failures += UniformAt(11, 1, static_cast<uint64_t>(trial * kUnits + i)) < 0.1f ? 1 : 0;
    }
    binomial += BinomialPValue(kUnits, failures, 0.1) <= 0.1 ? 1 : 0;
    bounded +=
        HoeffdingBentkusPValue(kUnits, static_cast<double>(failures) / kUnits, 0.1) <= 0.1 ? 1 : 0;
  }
  EXPECT_LE(binomial, kTrials * 0.1 + 3 * std::sqrt(kTrials * 0.09));
  EXPECT_LE(bounded, kTrials * 0.1 + 3 * std::sqrt(kTrials * 0.09));
}

TEST(ClopperPearson, MatchesAPublishedInterval) {
  const Interval interval = ClopperPearson(100, 94);
  EXPECT_NEAR(interval.low, 0.874, 5e-4);
  EXPECT_NEAR(interval.high, 0.978, 5e-4);
  EXPECT_EQ(ClopperPearson(10, 0).low, 0.0);
  EXPECT_EQ(ClopperPearson(10, 10).high, 1.0);
}

TEST(Intervals, StudentAndPaired) {
  const double a[] = {1, 2, 3, 4, 5};
  const Interval interval = MeanInterval(a);
  EXPECT_NEAR(interval.low, 3 - 2.7764451 * std::sqrt(0.5), 1e-6);
  const double b[] = {0, 1, 2, 3, 4};
  EXPECT_NEAR(PairedInterval(a, b).low, 1.0, 1e-12);
  const double losses[] = {0, 0, 0, 1};  // 0.25 within 0.80 either way
  EXPECT_LT(MeanInterval(losses).low, -0.5);
  EXPECT_EQ(LossInterval(losses).low, 0.0);
  EXPECT_EQ(LossInterval(losses).high, 1.0);
  EXPECT_EQ(LossInterval(losses, 0.5).high, MeanInterval(losses, 0.5).high);
  EXPECT_EQ(Quantile({3, 1, 2}, 0.5), 2.0);
  EXPECT_NEAR(Quantile({0, 10}, 0.25), 2.5, 1e-12);
}

TEST(RelativeError, IsARatioOfSumsOrNothing) {
  const double difference[] = {1, 2}, reference[] = {4, 8}, zero[] = {0, 0};
  const auto e = RelativeError(difference, reference, 1);
  ASSERT_TRUE(e);
  EXPECT_EQ(ToText(*e), "0.25000 [0.25000, 0.25000]");
  EXPECT_FALSE(RelativeError(difference, zero, 1));
}

TEST(RatioInterval, CoversAndIsReproducible) {
  std::vector<double> a, b;
  for (uint64_t i = 0; i < 200; ++i) {
    b.push_back(1 + UniformAt(3, 1, i));
    a.push_back(0.4 * b.back() + 0.1 * (UniformAt(3, 2, i) - 0.5));
  }
  const Interval interval = RatioInterval(a, b, 9);
  EXPECT_LT(interval.low, 0.4);
  EXPECT_GT(interval.high, 0.4);
  EXPECT_LT(interval.high - interval.low, 0.02);
  EXPECT_EQ(RatioInterval(a, b, 9).low, interval.low);
}

}  // namespace
}  // namespace suffice
