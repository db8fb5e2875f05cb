// SPDX-License-Identifier: Apache-2.0
#include "lib/base/dtype.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace suffice {
namespace {

TEST(BFloat16, RoundsToNearestEven) {
  EXPECT_EQ(ToBFloat16(1.0f).bits, 0x3F80);
  EXPECT_EQ(ToBFloat16(std::bit_cast<float>(0x3F808000u)).bits, 0x3F80);  // a tie, to even
  EXPECT_EQ(ToBFloat16(std::bit_cast<float>(0x3F818000u)).bits, 0x3F82);  // a tie, to even
  EXPECT_EQ(ToBFloat16(std::bit_cast<float>(0x3F808001u)).bits, 0x3F81);
  EXPECT_EQ(ToBFloat16(std::numeric_limits<float>::max()).bits, 0x7F80);  // rounds to infinity
}

TEST(BFloat16, FlushesSubnormalsAndQuietsNaN) {
  EXPECT_EQ(ToBFloat16(1e-40f).bits, 0x0000);
  EXPECT_EQ(ToBFloat16(-1e-40f).bits, 0x8000);
  EXPECT_EQ(ToBFloat16(std::bit_cast<float>(0xFFC12345u)).bits, 0x7FC0);
  EXPECT_EQ(ToBFloat16(-std::numeric_limits<float>::infinity()).bits, 0xFF80);
}

TEST(BFloat16, EveryNormalValueSurvivesTheRoundTrip) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const BFloat16 x{static_cast<uint16_t>(bits)};
    const float f = ToFloat(x);
    if (std::isnan(f) || std::fpclassify(f) == FP_SUBNORMAL) continue;
    EXPECT_EQ(ToBFloat16(f).bits, bits);
  }
}

TEST(Half, WidensExactly) {
  EXPECT_EQ(HalfToFloat(0x3C00), 1.0f);
  EXPECT_EQ(HalfToFloat(0x7BFF), 65504.0f);
  EXPECT_EQ(HalfToFloat(0x0001), 0x1p-24f);
  EXPECT_EQ(HalfToFloat(0xFC00), -std::numeric_limits<float>::infinity());
}

TEST(DType, NamesRoundTrip) {
  for (int i = 0; i < 12; ++i) {
    const auto dtype = static_cast<DType>(i);
    EXPECT_EQ(DTypeFromName(NameOf(dtype)), dtype);
  }
  EXPECT_FALSE(DTypeFromName("f8"));
}

}  // namespace
}  // namespace suffice
