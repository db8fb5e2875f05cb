// SPDX-License-Identifier: Apache-2.0
#include "lib/policy/token_order.h"

#include <algorithm>

#include "lib/base/error.h"

namespace suffice {
namespace {

// The patches of one box, cut at the grid's edges.
void AppendBox(const Grid& grid, const Grid& begin, const Grid& tile, std::vector<int32_t>* order) {
  Grid end;
  for (size_t axis = 0; axis < 3; ++axis)
    end[axis] = std::min(grid[axis], begin[axis] + tile[axis]);
  for (int64_t f = begin[0]; f < end[0]; ++f) {
    for (int64_t y = begin[1]; y < end[1]; ++y) {
      for (int64_t x = begin[2]; x < end[2]; ++x) {
        order->push_back(static_cast<int32_t>((f * grid[1] + y) * grid[2] + x));
      }
    }
  }
}

}  // namespace

int64_t Tokens(const Grid& grid) { return grid[0] * grid[1] * grid[2]; }

Grid ToGrid(const std::vector<int64_t>& extents) {
  const bool positive =
      std::all_of(extents.begin(), extents.end(), [](int64_t x) { return x >= 1; });
  if (extents.size() != 3 || !positive) {
    throw UsageError("three positive extents (frames, rows, columns) are wanted");
  }
  return {extents[0], extents[1], extents[2]};
}

std::vector<int32_t> TokenOrder(const Grid& grid, const std::string& name, const Grid& tile) {
  if (name != "raster" && name != "tiles") {
    throw UsageError("token order '{}': wanted raster or tiles", name);
  }
  const Grid box = name == "raster" ? grid : tile;
  std::vector<int32_t> order;
  order.reserve(static_cast<size_t>(Tokens(grid)));
  for (int64_t f = 0; f < grid[0]; f += box[0]) {
    for (int64_t y = 0; y < grid[1]; y += box[1]) {
      for (int64_t x = 0; x < grid[2]; x += box[2]) AppendBox(grid, {f, y, x}, box, &order);
    }
  }
  return order;
}

}  // namespace suffice
