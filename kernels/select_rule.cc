// SPDX-License-Identifier: Apache-2.0
#include "kernels/select_rule.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace suffice {
namespace {

// Length of the shortest prefix of the order that reaches top-p's target.
int64_t TopPCount(std::span<const float> scores, std::span<const int32_t> order, int32_t p_ppm) {
  const auto allowed = static_cast<int64_t>(order.size());
  if (p_ppm >= kPartsPerMillion) return allowed;
  const float max = scores[static_cast<size_t>(order[0])];  // NaN only if every score is
  const auto weight = [&](int32_t j) -> uint64_t {
    const float score = scores[static_cast<size_t>(j)];
    return std::isnan(score) ? 0 : SelectionWeight(score, max);
  };
  uint64_t total = 0;
  for (const int32_t j : order) total += weight(j);
  const uint64_t target = TopPTarget(p_ppm, total);
  uint64_t sum = 0;
  int64_t count = 0;
  do {
    sum += weight(order[static_cast<size_t>(count++)]);
  } while (sum < target);
  return count;
}

}  // namespace

PinnedBlocks PinnedOf(const SelectParams& params, int64_t query_block) {
  // The blocks of tokens [first, last], clipped to the keys that exist.
  const auto blocks = [&](int64_t first, int64_t last) -> BlockRange {
    first = std::max<int64_t>(first, 0);
    last = std::min(last, params.n_k - 1);
    if (first > last) return {};
    return {first / params.block.k, last / params.block.k + 1};
  };
  PinnedBlocks pinned;
  pinned.tokens = blocks(params.pin_begin, params.pin_end - 1);
  if (params.window >= 0) {
    const int64_t shift = params.n_k - params.n_q;
    const int64_t first = query_block * params.block.q;
    const int64_t last = std::min(first + params.block.q, params.n_q) - 1;
    // A window wider than everything must not overflow.
    const int64_t window = std::min(params.window, params.n_q + params.n_k);
    pinned.window = blocks(first + shift - window, last + shift + window);
  }
  return pinned;
}

int64_t SelectRow(std::span<const float> scores, const RowRule& rule, std::span<int32_t> order,
                  std::span<uint8_t> keep) {
  SUFFICE_DCHECK(scores.size() == keep.size() && scores.size() == order.size());
  const auto allowed = static_cast<int64_t>(scores.size());
  if (allowed == 0) return 0;

  if (rule.rule == SelectRule::kAll) {
    std::fill(keep.begin(), keep.end(), uint8_t{1});
  } else if (rule.rule == SelectRule::kMask) {
    for (size_t j = 0; j < keep.size(); ++j) keep[j] = rule.given[j] != 0;
  } else {
    std::iota(order.begin(), order.end(), 0);
    std::sort(order.begin(), order.end(), [&](int32_t i, int32_t j) {
      const float a = scores[static_cast<size_t>(i)];
      const float b = scores[static_cast<size_t>(j)];
      if (std::isnan(a) != std::isnan(b)) return std::isnan(b);
      if (a > b || a < b) return a > b;
      return i < j;
    });
    int64_t count = 0;
    if (rule.rule != SelectRule::kTopP) count = TopKCount(rule.setting.k_ppm, allowed);
    if (rule.rule != SelectRule::kTopK) {
      count = std::max(count, TopPCount(scores, order, rule.setting.p_ppm));
    }
    std::fill(keep.begin(), keep.end(), uint8_t{0});
    for (int64_t n = 0; n < count; ++n) {
      keep[static_cast<size_t>(order[static_cast<size_t>(n)])] = 1;
    }
  }

  int64_t kept = 0;
  for (int64_t j = 0; j < allowed; ++j) {
    if (rule.pinned.contains(j)) keep[static_cast<size_t>(j)] = 1;
    kept += keep[static_cast<size_t>(j)];
  }
  return kept;
}

}  // namespace suffice
