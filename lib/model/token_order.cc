// SPDX-License-Identifier: Apache-2.0
#include "lib/model/token_order.h"

#include <algorithm>
#include <cmath>

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

std::vector<int32_t> TokenOrder(const Grid& grid, const std::string& name, const Grid& tile) {
  if (name != "raster" && name != "tiles") {
    throw UsageError("token_order '{}': wanted raster or tiles", name);
  }
  const Grid box = name == "raster" ? grid : tile;
  std::vector<int32_t> order;
  order.reserve(static_cast<size_t>(grid[0] * grid[1] * grid[2]));
  for (int64_t f = 0; f < grid[0]; f += box[0]) {
    for (int64_t y = 0; y < grid[1]; y += box[1]) {
      for (int64_t x = 0; x < grid[2]; x += box[2]) AppendBox(grid, {f, y, x}, box, &order);
    }
  }
  return order;
}

Grid DefaultRopeSplit(int64_t head_dim) {
  const int64_t sixth = head_dim / 6;
  return {head_dim - 4 * sixth, 2 * sixth, 2 * sixth};
}

RopeTables MakeRopeTables(const Grid& grid, const std::vector<int32_t>& order, const Grid& split,
                          double theta) {
  RopeTables tables;
  for (const int32_t raster : order) {
    const Grid position = {raster / (grid[1] * grid[2]), raster / grid[2] % grid[1],
                           raster % grid[2]};
    for (size_t axis = 0; axis < 3; ++axis) {
      for (int64_t i = 0; i < split[axis] / 2; ++i) {
        const double exponent = -2.0 * static_cast<double>(i) / static_cast<double>(split[axis]);
        const double angle = static_cast<double>(position[axis]) * std::pow(theta, exponent);
        tables.cos.push_back(static_cast<float>(std::cos(angle)));
        tables.sin.push_back(static_cast<float>(std::sin(angle)));
      }
    }
  }
  return tables;
}

}  // namespace suffice
