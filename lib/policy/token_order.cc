// SPDX-License-Identifier: Apache-2.0
#include "lib/policy/token_order.h"

#include <algorithm>
#include <numeric>

#include "lib/base/error.h"

namespace suffice {

std::vector<int32_t> TokenOrder(const std::string& name, const TokenGrid& grid,
                                const std::vector<int64_t>& tile) {
  std::vector<int32_t> order(static_cast<size_t>(grid.tokens()));
  std::iota(order.begin(), order.end(), 0);
  if (name == "raster") return order;
  if (name != "tiles") throw UsageError("token order '{}': raster or tiles wanted", name);
  if (tile.size() != 3 || std::any_of(tile.begin(), tile.end(), [](int64_t x) { return x < 1; })) {
    throw UsageError("token order tiles: three positive extents are wanted");
  }
  auto next = order.begin();
  for (int64_t f0 = 0; f0 < grid.frames; f0 += tile[0]) {
    for (int64_t y0 = 0; y0 < grid.rows; y0 += tile[1]) {
      for (int64_t x0 = 0; x0 < grid.columns; x0 += tile[2]) {
        for (int64_t f = f0; f < std::min(f0 + tile[0], grid.frames); ++f) {
          for (int64_t y = y0; y < std::min(y0 + tile[1], grid.rows); ++y) {
            for (int64_t x = x0; x < std::min(x0 + tile[2], grid.columns); ++x) {
              *next++ = static_cast<int32_t>((f * grid.rows + y) * grid.columns + x);
            }
          }
        }
      }
    }
  }
  return order;
}

}  // namespace suffice
