// SPDX-License-Identifier: Apache-2.0
#include "kernels/stated_exp.h"

#include <gtest/gtest.h>

#include <limits>

namespace suffice {
namespace {

TEST(StatedExp, HasItsStatedEnds) {
  EXPECT_EQ(StatedExp(0.0f), 1.0f);
  EXPECT_EQ(StatedExp(-0.0f), 1.0f);
  EXPECT_EQ(StatedExp(-std::numeric_limits<float>::infinity()), 0.0f);
  EXPECT_EQ(StatedExp(std::numeric_limits<float>::quiet_NaN()), 0.0f);
  EXPECT_EQ(StatedExp(-87.00001f), 0.0f);
  EXPECT_GE(StatedExp(-87.0f), std::numeric_limits<float>::min());
}

TEST(StatedExp, IsWithinItsStatedError) {
  double worst = 0.0;
  for (uint32_t bits = std::bit_cast<uint32_t>(-0x1p-30f); bits <= std::bit_cast<uint32_t>(-87.0f);
       bits += 97) {
    const float x = std::bit_cast<float>(bits);
    const double exact = std::exp(double{x});
    worst = std::max(worst, std::abs(double{StatedExp(x)} / exact - 1.0));
  }
  EXPECT_LE(worst, 1.2e-7);
}

// Any backend or compiler that changes one of these bits changes which blocks are kept.
TEST(StatedExp, GivesTheRecordedBits) {
  const struct {
    float x;
    uint32_t bits;
  } kRecorded[] = {
      {-0x1p-24f, 0x3F7FFFFF},    {-0.001f, 0x3F7FBE7F},      {-0.1f, 0x3F67A36D},
      {-0.34657359f, 0x3F3504F4}, {-0.34657362f, 0x3F3504F3}, {-0.5f, 0x3F1B4598},
      {-1.0f, 0x3EBC5AB2},        {-2.5f, 0x3DA81C2E},        {-10.0f, 0x383E6BCE},
      {-20.794415f, 0x30800008},  {-43.21f, 0x204A6963},      {-86.9f, 0x00C60F89},
      {-87.0f, 0x00B33687},
  };
  for (const auto& [x, bits] : kRecorded) {
    EXPECT_EQ(std::bit_cast<uint32_t>(StatedExp(x)), bits) << x;
  }
  // All arguments k / 1024 of the domain, in one number.
  uint64_t hash = 1469598103934665603u;
  for (int k = 0; k <= 87 * 1024; ++k) {
    hash =
        (hash ^ std::bit_cast<uint32_t>(StatedExp(static_cast<float>(-k) / 1024))) * 1099511628211u;
  }
  EXPECT_EQ(hash, 0x11704DBB46217F26u);
}

}  // namespace
}  // namespace suffice
