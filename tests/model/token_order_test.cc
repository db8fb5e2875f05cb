// SPDX-License-Identifier: Apache-2.0
#include "lib/model/token_order.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "lib/base/error.h"

namespace suffice {
namespace {

TEST(TokenOrder, RasterIsTheIdentity) {
  const std::vector<int32_t> order = TokenOrder({2, 3, 4}, "raster", {4, 4, 4});
  for (size_t n = 0; n < order.size(); ++n) EXPECT_EQ(order[n], static_cast<int32_t>(n));
  EXPECT_EQ(order.size(), 24u);
}

TEST(TokenOrder, TilesAreCompactAndRaggedAtTheEdges) {
  // Wan's 480p latent, 21 x 30 x 52: no side but the last is a multiple of 4.
  for (const Grid grid : {Grid{4, 4, 8}, Grid{21, 30, 52}, Grid{1, 1, 3}}) {
    const std::vector<int32_t> order = TokenOrder(grid, "tiles", {4, 4, 4});
    const std::set<int32_t> all(order.begin(), order.end());
    EXPECT_EQ(static_cast<int64_t>(order.size()), grid[0] * grid[1] * grid[2]);
    EXPECT_EQ(all.size(), order.size());
    EXPECT_EQ(*all.begin(), 0);
    EXPECT_EQ(*all.rbegin(), static_cast<int32_t>(order.size()) - 1);
  }
  const std::vector<int32_t> order = TokenOrder({4, 4, 8}, "tiles", {4, 4, 4});
  for (size_t n = 0; n < 64; ++n) EXPECT_LT(order[n] % 8, 4) << n;  // the left tile comes first
  EXPECT_EQ((std::vector<int32_t>(order.begin(), order.begin() + 5)),
            (std::vector<int32_t>{0, 1, 2, 3, 8}));
}

TEST(TokenOrder, UnknownNameIsRefused) {
  EXPECT_THROW(TokenOrder({1, 1, 1}, "hilbert", {4, 4, 4}), Error);
}

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
