// SPDX-License-Identifier: Apache-2.0
#include "lib/model/rope.h"

#include <cmath>

namespace suffice {

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
