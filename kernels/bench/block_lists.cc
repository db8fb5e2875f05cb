// SPDX-License-Identifier: Apache-2.0
#include "kernels/bench/block_lists.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "kernels/bench/device_array.h"
#include "lib/base/philox.h"

namespace suffice::bench {

std::span<const uint16_t> HostLists::row(int64_t i) const {
  const auto begin = static_cast<size_t>(ptr[static_cast<size_t>(i)]);
  const auto end = static_cast<size_t>(ptr[static_cast<size_t>(i) + 1]);
  return std::span(ids).subspan(begin, end - begin);
}

int64_t KeptBlocks(ListSpread spread, double density, int64_t t_k, int64_t row) {
  double kept = density * static_cast<double>(t_k);
  if (spread == ListSpread::kLogNormal) {
    const double z = double{NormalAt(kSeed, kCountStream, static_cast<uint64_t>(row))};
    // The mean of exp(sigma z) is exp(sigma^2 / 2).
    kept *= std::exp(kLogNormalSigma * z - 0.5 * kLogNormalSigma * kLogNormalSigma);
  }
  return std::clamp<int64_t>(std::llround(kept), 1, t_k);
}

// The first steps of a shuffle of all blocks. Undoing them leaves the blocks in order for the next
// row, so that a row costs what it keeps and not what there is.
HostLists RandomLists(ListSpread spread, double density, int64_t rows, int64_t t_k) {
  HostLists lists;
  lists.ptr.reserve(static_cast<size_t>(rows) + 1);
  std::vector<uint16_t> blocks(static_cast<size_t>(t_k));
  for (size_t j = 0; j < blocks.size(); ++j) blocks[j] = static_cast<uint16_t>(j);
  std::vector<size_t> others;
  uint64_t draw = 0;
  for (int64_t row = 0; row < rows; ++row) {
    const int64_t kept = KeptBlocks(spread, density, t_k, row);
    const size_t begin = lists.ids.size();
    others.clear();
    for (int64_t n = 0; n < kept; ++n) {
      const float u = UniformAt(kSeed, kListStream, draw++);
      const int64_t left = t_k - n;
      others.push_back(static_cast<size_t>(
          n + std::min(left - 1, static_cast<int64_t>(u * static_cast<float>(left)))));
      std::swap(blocks[static_cast<size_t>(n)], blocks[others.back()]);
      lists.ids.push_back(blocks[static_cast<size_t>(n)]);
    }
    for (size_t n = others.size(); n-- > 0;) std::swap(blocks[n], blocks[others[n]]);
    std::sort(lists.ids.begin() + static_cast<int64_t>(begin), lists.ids.end());
    lists.ptr.push_back(static_cast<int64_t>(lists.ids.size()));
  }
  return lists;
}

HostLists ListsOf(std::span<const uint8_t> mask, int64_t t_k) {
  HostLists lists;
  const auto width = static_cast<size_t>(t_k);
  for (size_t begin = 0; begin < mask.size(); begin += width) {
    for (size_t j = 0; j < width; ++j) {
      if (mask[begin + j] != 0) lists.ids.push_back(static_cast<uint16_t>(j));
    }
    lists.ptr.push_back(static_cast<int64_t>(lists.ids.size()));
  }
  return lists;
}

HostLists Transpose(const HostLists& lists, int64_t heads, int64_t outer, int64_t inner) {
  HostLists out;
  out.ptr.assign(static_cast<size_t>(heads * inner) + 1, 0);
  out.ids.resize(lists.ids.size());
  const auto place = [&](int64_t row, uint16_t id) {
    return static_cast<size_t>(row / outer * inner + id);
  };
  for (int64_t row = 0; row < heads * outer; ++row) {
    for (const uint16_t id : lists.row(row)) ++out.ptr[place(row, id) + 1];
  }
  for (size_t i = 1; i < out.ptr.size(); ++i) out.ptr[i] += out.ptr[i - 1];
  std::vector<int64_t> next(out.ptr.begin(), out.ptr.end() - 1);
  for (int64_t row = 0; row < heads * outer; ++row) {
    for (const uint16_t id : lists.row(row)) {
      out.ids[static_cast<size_t>(next[place(row, id)]++)] = static_cast<uint16_t>(row % outer);
    }
  }
  return out;
}

double ListedPairs(const HostLists& rows, int64_t n, BlockSize block) {
  const int64_t t_q = BlockCount(n, block.q);
  double pairs = 0.0;
  for (int64_t row = 0; row < rows.rows(); ++row) {
    const int64_t queries = std::min<int64_t>(block.q, n - row % t_q * block.q);
    int64_t keys = 0;
    for (const uint16_t j : rows.row(row)) keys += std::min<int64_t>(block.k, n - j * block.k);
    pairs += static_cast<double>(queries * keys);
  }
  return pairs;
}

}  // namespace suffice::bench
