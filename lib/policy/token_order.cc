// SPDX-License-Identifier: Apache-2.0
#include "lib/policy/token_order.h"

#include <algorithm>
#include <bit>
#include <utility>

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

// Distance along the Hilbert curve of a cube of side 2^bits: Skilling's transform of the three
// coordinates, whose bits are then taken in turns, the highest first.
uint64_t HilbertIndex(std::array<uint32_t, 3> x, int bits) {
  for (uint32_t q = 1u << (bits - 1); q > 1; q >>= 1) {
    const uint32_t below = q - 1;
    for (uint32_t& axis : x) {
      if ((axis & q) != 0) {
        x[0] ^= below;
      } else {
        const uint32_t differ = (x[0] ^ axis) & below;
        x[0] ^= differ;
        axis ^= differ;
      }
    }
  }
  x[1] ^= x[0];
  x[2] ^= x[1];
  uint32_t flip = 0;
  for (uint32_t q = 1u << (bits - 1); q > 1; q >>= 1) flip ^= (x[2] & q) != 0 ? q - 1 : 0;
  uint64_t index = 0;
  for (int bit = bits - 1; bit >= 0; --bit) {
    for (const uint32_t axis : x) index = index << 1 | ((axis ^ flip) >> bit & 1);
  }
  return index;
}

std::vector<int32_t> HilbertOrder(const Grid& grid) {
  const int64_t side = std::max({grid[0], grid[1], grid[2]});
  const int bits = std::max(1, static_cast<int>(std::bit_width(static_cast<uint64_t>(side - 1))));
  std::vector<std::pair<uint64_t, int32_t>> tokens;
  tokens.reserve(static_cast<size_t>(Tokens(grid)));
  for (int32_t n = 0; n < Tokens(grid); ++n) {
    const int64_t row = n / grid[2];
    tokens.emplace_back(
        HilbertIndex({static_cast<uint32_t>(row / grid[1]), static_cast<uint32_t>(row % grid[1]),
                      static_cast<uint32_t>(n % grid[2])},
                     bits),
        n);
  }
  std::sort(tokens.begin(), tokens.end());
  std::vector<int32_t> order;
  for (const auto& [index, token] : tokens) order.push_back(token);
  return order;
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
  if (name == "hilbert") return HilbertOrder(grid);
  if (name != "raster" && name != "tiles") {
    throw UsageError("token order '{}': raster, tiles or hilbert wanted", name);
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
