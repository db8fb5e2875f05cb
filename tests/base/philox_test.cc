// SPDX-License-Identifier: Apache-2.0
#include "lib/base/philox.h"

#include <gtest/gtest.h>

#include <cmath>

namespace suffice {
namespace {

// The known-answer vectors of the Random123 distribution for philox4x32-10.
TEST(Philox, MatchesThePublishedVectors) {
  const std::array<uint32_t, 4> zero = {0x6627e8d5u, 0xe169c58du, 0xbc57ac4cu, 0x9b00dbd8u};
  EXPECT_EQ(Philox(0, 0, 0), zero);
}

TEST(Philox, StreamsAndSeedsDiffer) {
  EXPECT_NE(Philox(1, 0, 0), Philox(2, 0, 0));
  EXPECT_NE(Philox(1, 1, 0), Philox(1, 2, 0));
  EXPECT_NE(Philox(1, 1, 0), Philox(1, 1, 1));
}

TEST(StatedLog, AgreesWithTheLibrary) {
  for (float x = 1e-7f; x < 1.0f; x *= 1.001f) {
    EXPECT_NEAR(StatedLog(x), std::log(static_cast<double>(x)),
                2e-6 * std::fabs(std::log(x)) + 1e-7);
  }
}

TEST(Normal, InvertsTheDistributionFunction) {
  for (uint32_t k = 0; k < (1u << 23); k += 997) {
    const uint32_t bits = k << 9;
    const double u = UniformFromBits(bits);
    const double z = NormalFromBits(bits);
    const double back = 0.5 * std::erfc(-z / std::sqrt(2.0));
    EXPECT_NEAR(back, u, 2e-6 * std::min(u, 1 - u) * (2 + z * z) + 1e-9) << u;
  }
}

TEST(Normal, HasUnitMomentsAndIsSymmetric) {
  double sum = 0, square = 0, fourth = 0;
  constexpr int kCount = 400000;
  for (int i = 0; i < kCount; ++i) {
    const double z = NormalAt(7, 1, static_cast<uint64_t>(i));
    sum += z;
    square += z * z;
    fourth += z * z * z * z;
  }
  EXPECT_NEAR(sum / kCount, 0.0, 0.01);
  EXPECT_NEAR(square / kCount, 1.0, 0.01);
  EXPECT_NEAR(fourth / kCount, 3.0, 0.08);
  EXPECT_EQ(NormalFromBits(0), -NormalFromBits(0xFFFFFFFFu));
}

// Recorded bits: the same on every backend, compiler and instruction set.
TEST(Normal, BitsAreFixed) {
  const std::pair<uint64_t, uint32_t> recorded[] = {
      {0, 0xc014bed1u}, {1, 0xbf927863u}, {5, 0x4018b6d7u}, {1000000, 0xbfc40471u}};
  for (const auto& [index, bits] : recorded) {
    EXPECT_EQ(std::bit_cast<uint32_t>(NormalAt(42, 1, index)), bits) << index;
  }
}

}  // namespace
}  // namespace suffice
