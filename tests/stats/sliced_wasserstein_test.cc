// SPDX-License-Identifier: Apache-2.0
#include "lib/stats/sliced_wasserstein.h"

#include <gtest/gtest.h>

#include <cmath>

#include "lib/base/philox.h"

namespace suffice {
namespace {

using Distances = SlicedWasserstein::Distances;

std::vector<double> Normals(size_t count, uint64_t seed) {
  std::vector<double> values(count);
  for (size_t i = 0; i < count; ++i) {
    values[i] = NormalAt(seed, static_cast<uint32_t>(Stream::kTest), i);
  }
  return values;
}

Distances Between(const std::vector<double>& a, const std::vector<double>& b, int64_t dim,
                  int64_t directions = 16) {
  const auto units = [&](const std::vector<double>& x) {
    return static_cast<int64_t>(x.size()) / dim;
  };
  return SlicedWasserstein({a, units(a)}, {b, units(b)}, dim, directions, 9).Measure();
}

// In one dimension every direction is +1 or -1, and the distance is Wasserstein's own.
TEST(SlicedWasserstein, OfAShiftInOneDimensionIsTheShift) {
  const std::vector<double> a = Normals(50, 1);
  std::vector<double> b = a;
  for (double& x : b) x += 0.75;
  const Distances d = Between(a, b, 1);
  EXPECT_NEAR(d.one, 0.75, 1e-12);
  EXPECT_NEAR(d.two, 0.75, 1e-12);
}

TEST(SlicedWasserstein, OfSetsOfTwoSizesMatchesQuantiles) {
  // {0, 3} and {0, 1, 5}: mass 1/6 a step: 0-0, 0-0, 0-1, 3-1, 3-5, 3-5.
  const Distances d = Between({3, 0}, {5, 0, 1}, 1, 3);
  EXPECT_NEAR(d.one, (0 + 0 + 1 + 2 + 2 + 2) / 6.0, 1e-12);
  EXPECT_NEAR(d.two, std::sqrt((0 + 0 + 1 + 4 + 4 + 4) / 6.0), 1e-12);
}

TEST(SlicedWasserstein, IdenticalSetsInAnyOrderAreAtZero) {
  const std::vector<double> a = Normals(60, 2);
  std::vector<double> b;
  for (size_t i = a.size(); i > 0; i -= 3) b.insert(b.end(), a.begin() + i - 3, a.begin() + i);
  const Distances d = Between(a, b, 3);
  EXPECT_EQ(d.one, 0);
  EXPECT_EQ(d.two, 0);
}

// A shift by v moves each projection by w . v: SW_2^2 = |v|^2 / dim in the mean over directions.
TEST(SlicedWasserstein, OfAShiftInSeveralDimensions) {
  constexpr int64_t kDim = 4;
  const std::vector<double> a = Normals(80 * kDim, 3);
  std::vector<double> b = a;
  for (size_t i = 0; i < b.size(); i += kDim) b[i] += 2;
  const Distances d = Between(a, b, kDim, 4000);
  EXPECT_NEAR(d.two, 2 / std::sqrt(4.0), 0.03);
  EXPECT_LT(d.one, d.two);
}

TEST(SlicedWasserstein, IsAMetricOnTheseDirections) {
  const std::vector<double> a = Normals(90, 4), b = Normals(60, 5), c = Normals(120, 6);
  const Distances ab = Between(a, b, 3), ba = Between(b, a, 3), bc = Between(b, c, 3),
                  ac = Between(a, c, 3);
  EXPECT_NEAR(ab.one, ba.one, 1e-14);
  EXPECT_NEAR(ab.two, ba.two, 1e-14);
  EXPECT_LE(ac.one, ab.one + bc.one);
  EXPECT_LE(ac.two, ab.two + bc.two);
  EXPECT_LE(ab.one, ab.two);
}

TEST(SlicedWasserstein, CountsAreRepetitionsOfUnits) {
  constexpr int64_t kDim = 2;
  const std::vector<double> a = Normals(3 * 2 * kDim, 7), b = Normals(4 * 2 * kDim, 8);
  const SlicedWasserstein distance({a, 3}, {b, 4}, kDim, 8, 9);
  const std::vector<int64_t> counts = {2, 0, 1};
  std::vector<double> repeated;
  for (const size_t unit : {0u, 0u, 2u}) {
    repeated.insert(repeated.end(), a.begin() + 4 * unit, a.begin() + 4 * unit + 4);
  }
  const Distances counted = distance.Measure(counts),
                  wanted = SlicedWasserstein({repeated, 3}, {b, 4}, kDim, 8, 9).Measure();
  EXPECT_NEAR(counted.one, wanted.one, 1e-14);
  EXPECT_NEAR(counted.two, wanted.two, 1e-14);
  EXPECT_NE(counted.one, distance.Measure().one);
}

TEST(SlicedWasserstein, TheSeedChoosesTheDirections) {
  const std::vector<double> a = Normals(30, 1), b = Normals(30, 2);
  const auto with = [&](uint64_t seed) {
    return SlicedWasserstein({a, 10}, {b, 10}, 3, 4, seed).Measure().one;
  };
  EXPECT_EQ(with(1), with(1));
  EXPECT_NE(with(1), with(2));
}

}  // namespace
}  // namespace suffice
