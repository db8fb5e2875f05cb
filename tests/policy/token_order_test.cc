// SPDX-License-Identifier: Apache-2.0
#include "lib/policy/token_order.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
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
    EXPECT_EQ(static_cast<int64_t>(order.size()), Tokens(grid));
    EXPECT_EQ(all.size(), order.size());
    EXPECT_EQ(*all.begin(), 0);
    EXPECT_EQ(*all.rbegin(), static_cast<int32_t>(order.size()) - 1);
  }
  const std::vector<int32_t> order = TokenOrder({4, 4, 8}, "tiles", {4, 4, 4});
  for (size_t n = 0; n < 64; ++n) EXPECT_LT(order[n] % 8, 4) << n;  // the left tile comes first
  EXPECT_EQ((std::vector<int32_t>(order.begin(), order.begin() + 5)),
            (std::vector<int32_t>{0, 1, 2, 3, 8}));
}

TEST(TokenOrder, WalksABoxFrameByFrame) {
  const std::vector<int32_t> order = TokenOrder({5, 7, 6}, "tiles", {2, 4, 4});
  EXPECT_EQ(order[0], 0);
  EXPECT_EQ(order[4], 6);    // second row of the first tile
  EXPECT_EQ(order[16], 42);  // second frame of it
}

TEST(TokenOrder, HilbertStepsToANeighbourInACube) {
  for (const int64_t side : {2, 4, 8, 16}) {
    const std::vector<int32_t> order = TokenOrder({side, side, side}, "hilbert", {1, 1, 1});
    ASSERT_EQ(static_cast<int64_t>(order.size()), side * side * side);
    EXPECT_EQ(std::set<int32_t>(order.begin(), order.end()).size(), order.size());
    for (size_t n = 1; n < order.size(); ++n) {
      int64_t steps = 0, a = order[n - 1], b = order[n];
      for (int axis = 0; axis < 3; ++axis, a /= side, b /= side)
        steps += std::abs(a % side - b % side);
      EXPECT_EQ(steps, 1) << side << " " << n;
    }
  }
}

// In any grid each token has its place, and blocks of 64 are more compact than rows are.
TEST(TokenOrder, HilbertIsCompactInAnyGrid) {
  for (const Grid grid : {Grid{21, 30, 52}, Grid{1, 1, 1}, Grid{1, 1, 3}, Grid{5, 9, 2}}) {
    const std::vector<int32_t> order = TokenOrder(grid, "hilbert", {1, 1, 1});
    const std::set<int32_t> all(order.begin(), order.end());
    EXPECT_EQ(static_cast<int64_t>(order.size()), Tokens(grid));
    EXPECT_EQ(all.size(), order.size());
    EXPECT_EQ(*all.begin(), 0);
    EXPECT_EQ(*all.rbegin(), static_cast<int32_t>(order.size()) - 1);
  }
  const Grid grid = {21, 30, 52};
  const auto spread = [&](const std::string& name) {
    const std::vector<int32_t> order = TokenOrder(grid, name, {4, 4, 4});
    int64_t sum = 0;
    for (size_t block = 0; block + 64 <= order.size(); block += 64) {
      for (const int64_t stride : {int64_t{1}, grid[2], grid[2] * grid[1]}) {
        const int64_t extent = stride == 1 ? grid[2] : stride == grid[2] ? grid[1] : grid[0];
        int64_t low = extent, high = 0;
        for (size_t n = block; n < block + 64; ++n) {
          low = std::min(low, order[n] / stride % extent);
          high = std::max(high, order[n] / stride % extent);
        }
        sum += high - low;
      }
    }
    return sum;
  };
  EXPECT_LT(spread("hilbert"), spread("raster") / 2);
}

TEST(TokenOrder, UnknownNamesAndExtentsAreRefused) {
  EXPECT_THROW(TokenOrder({1, 1, 1}, "spiral", {4, 4, 4}), Error);
  EXPECT_THROW(ToGrid({4, 4}), Error);
  EXPECT_THROW(ToGrid({4, 0, 4}), Error);
  EXPECT_EQ(ToGrid({4, 2, 1}), (Grid{4, 2, 1}));
}

}  // namespace
}  // namespace suffice
