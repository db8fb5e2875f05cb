// SPDX-License-Identifier: Apache-2.0
#include "lib/stats/frechet.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "lib/base/philox.h"
#include "lib/stats/bootstrap.h"

namespace suffice {
namespace {

std::vector<double> Normals(size_t count, uint64_t seed) {
  std::vector<double> values(count);
  for (size_t i = 0; i < count; ++i) {
    values[i] = NormalAt(seed, static_cast<uint32_t>(Stream::kTest), i);
  }
  return values;
}

TEST(FitGaussian, IsTheMeanAndTheUnbiasedCovariance) {
  const double rows[] = {1, 2, 3, 6, 5, 4};  // (1, 2), (3, 6), (5, 4)
  const GaussianFit fit = FitGaussian(rows, 2);
  EXPECT_EQ(fit.mean, (std::vector<double>{3, 4}));
  EXPECT_EQ(fit.covariance, (std::vector<double>{4, 2, 2, 4}));
}

TEST(FitGaussian, CountsAreRepetitions) {
  const double rows[] = {1, 2, 3, 6, 5, 4}, repeated[] = {1, 2, 1, 2, 5, 4};
  const int64_t counts[] = {2, 0, 1};
  const GaussianFit counted = FitGaussian(rows, 2, counts), wanted = FitGaussian(repeated, 2);
  for (size_t i = 0; i < 2; ++i) EXPECT_NEAR(counted.mean[i], wanted.mean[i], 1e-14);
  for (size_t i = 0; i < 4; ++i) EXPECT_NEAR(counted.covariance[i], wanted.covariance[i], 1e-14);
}

// Covariances that commute: |mu_1 - mu_2|^2 + sum (s_1 - s_2)^2 over standard deviations.
TEST(Frechet, OfDiagonalGaussians) {
  const GaussianFit a{{1, 0, 2}, {4, 0, 0, 0, 1, 0, 0, 0, 9}};
  const GaussianFit b{{0, 0, 5}, {1, 0, 0, 0, 16, 0, 0, 0, 9}};
  EXPECT_NEAR(FrechetDistance(a, b), 1 + 9 + 1 + 9, 1e-12);
  EXPECT_NEAR(FrechetDistance(b, a), FrechetDistance(a, b), 1e-12);
}

// Covariances that do not commute. For 2 x 2, tr M^(1/2) = sqrt(tr M + 2 sqrt(det M)).
TEST(Frechet, OfGaussiansThatDoNotCommute) {
  const GaussianFit a{{0, 0}, {2, 1, 1, 3}}, b{{1, -1}, {5, -2, -2, 1}};
  const double trace = (2 * 5 - 2) + (-2 + 3), det = 5.0 * 1.0;  // of Sigma_1 Sigma_2
  const double wanted = 2 + (5 + 6) - 2 * std::sqrt(trace + 2 * std::sqrt(det));
  EXPECT_NEAR(FrechetDistance(a, b), wanted, 1e-12);
}

TEST(Frechet, IdenticalSetsAreAtZeroAlsoWithASingularCovariance) {
  for (const size_t n : {5u, 200u}) {
    const std::vector<double> rows = Normals(n * 8, 3);
    const GaussianFit fit = FitGaussian(rows, 8);
    EXPECT_NEAR(FrechetDistance(fit, fit), 0, 1e-6) << n;
  }
}

// Moving every point by a vector adds the square of its length and nothing else; turning both sets
// alike changes nothing.
TEST(Frechet, OfAShiftAndUnderARotation) {
  std::vector<double> rows = Normals(600, 1), other = Normals(600, 2);
  const double before = FrechetDistance(FitGaussian(rows, 3), FitGaussian(other, 3));
  const auto turn = [](std::vector<double> x) {
    for (size_t i = 0; i < x.size(); i += 3) {
      const double u = x[i], v = x[i + 1];
      x[i] = 0.6 * u - 0.8 * v;
      x[i + 1] = 0.8 * u + 0.6 * v;
    }
    return x;
  };
  EXPECT_NEAR(FrechetDistance(FitGaussian(turn(rows), 3), FitGaussian(turn(other), 3)), before,
              1e-10);
  std::vector<double> shifted = rows;
  for (size_t i = 0; i < shifted.size(); i += 3) shifted[i] += 2;
  EXPECT_NEAR(FrechetDistance(FitGaussian(shifted, 3), FitGaussian(rows, 3)), 4, 1e-6);
}

// Two sets from one source are not at zero, and nearer the more there are: the bias of the header.
TEST(Frechet, TheFloorFallsWithN) {
  const auto floor = [](size_t n) {
    double sum = 0;
    for (uint64_t trial = 0; trial < 8; ++trial) {
      const std::vector<double> a = Normals(n * 8, 10 + 2 * trial),
                                b = Normals(n * 8, 11 + 2 * trial);
      sum += FrechetDistance(FitGaussian(a, 8), FitGaussian(b, 8)) / 8;
    }
    return sum;
  };
  const double few = floor(25), many = floor(400);
  EXPECT_GT(few, 0.3);
  EXPECT_LT(many, few / 8);
}

TEST(Bootstrap, CountsSumToNAndDependOnTheSet) {
  const std::vector<int64_t> a = Resampler(37, 5, 0).Counts(3);
  EXPECT_EQ(std::accumulate(a.begin(), a.end(), int64_t{0}), 37);
  EXPECT_EQ(Resampler(37, 5, 0).Counts(3), a);
  EXPECT_NE(Resampler(37, 5, 1).Counts(3), a);
  EXPECT_NE(Resampler(37, 5, 0).Counts(4), a);
  EXPECT_NE(Resampler(37, 6, 0).Counts(3), a);
}

TEST(Bootstrap, AStratumKeepsItsSize) {
  const std::vector<int64_t> strata = {7, 7, -1, 7, -1, 7};
  const Resampler resampler(strata, 5, 0);
  bool moved = false;
  for (uint64_t draw = 0; draw < 20; ++draw) {
    const std::vector<int64_t> counts = resampler.Counts(draw);
    EXPECT_EQ(counts[2] + counts[4], 2);
    EXPECT_EQ(std::accumulate(counts.begin(), counts.end(), int64_t{0}), 6);
    moved = moved || counts[2] != 1;
  }
  EXPECT_TRUE(moved);
  // A unit alone in its stratum makes one stratum of all.
  const std::vector<int64_t> alone = {0, 0, 1};
  EXPECT_EQ(Resampler(alone, 5, 0).Counts(2), Resampler(3, 5, 0).Counts(2));
}

TEST(Bootstrap, TheCentredIntervalTurnsTheReplicatesAroundTheEstimate) {
  std::vector<double> replicates;  // half of them alike, the others above
  for (int i = 0; i <= 100; ++i) replicates.push_back(9.0 + (i < 50 ? 0 : 0.04 * (i - 50)));
  const double mean = Mean(replicates);
  const Interval spread = PercentileInterval(replicates);
  const Interval interval = CentredInterval(5, replicates);
  EXPECT_NEAR(interval.low, 5 - (spread.high - mean), 1e-12);
  EXPECT_NEAR(interval.high, 5 - (spread.low - mean), 1e-12);
  EXPECT_EQ(CentredInterval(0.1, replicates).low, 0);
}

// The mean of normal draws lies in the percentile interval about as often as promised.
TEST(Bootstrap, CoversTheMean) {
  constexpr int kTrials = 300, kUnits = 40;
  int covered = 0;
  for (uint64_t trial = 0; trial < kTrials; ++trial) {
    const std::vector<double> x = Normals(kUnits, 100 + trial);
    const Resampler resampler(kUnits, trial, 0);
    std::vector<double> means;
    for (uint64_t draw = 0; draw < 200; ++draw) {
      const std::vector<int64_t> counts = resampler.Counts(draw);
      double sum = 0;
      for (size_t i = 0; i < x.size(); ++i) sum += static_cast<double>(counts[i]) * x[i];
      means.push_back(sum / kUnits);
    }
    const Interval interval = PercentileInterval(means);
    covered += interval.low <= 0 && interval.high >= 0 ? 1 : 0;
  }
  EXPECT_GT(covered, kTrials * 88 / 100);
  EXPECT_LT(covered, kTrials * 99 / 100);
}

}  // namespace
}  // namespace suffice
