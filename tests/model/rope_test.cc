// SPDX-License-Identifier: Apache-2.0
#include "lib/model/rope.h"

#include <gtest/gtest.h>

#include <cmath>

namespace suffice {
namespace {

TEST(RopeTables, SplitIsWansAndAnglesFollowTheOrder) {
  EXPECT_EQ(DefaultRopeSplit(128), (Grid{44, 42, 42}));
  EXPECT_EQ(DefaultRopeSplit(64), (Grid{24, 20, 20}));
  const Grid grid = {2, 3, 2}, split = {4, 2, 2};
  const std::vector<int32_t> order = TokenOrder(grid, "tiles", {2, 2, 2});
  const RopeTables tables = MakeRopeTables(grid, order, split, 100.0);
  ASSERT_EQ(tables.cos.size(), 12u * 4);
  for (size_t n = 0; n < 12; ++n) {
    const int32_t raster = order[n];
    const double f = raster / 6, y = raster / 2 % 3, x = raster % 2;
    const double angles[] = {f, f * 0.1, y, x};  // 100^(-2 / 4) = 0.1
    for (size_t i = 0; i < 4; ++i) {
      EXPECT_NEAR(tables.cos[n * 4 + i], std::cos(angles[i]), 1e-6);
      EXPECT_NEAR(tables.sin[n * 4 + i], std::sin(angles[i]), 1e-6);
    }
  }
}

}  // namespace
}  // namespace suffice
