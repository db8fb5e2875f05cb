// SPDX-License-Identifier: Apache-2.0
// The selection rule for one row: from the scores of its allowed key blocks to the blocks it keeps
// (kernels/attention.h, step 3; the hybrid rule is Eq. 9 of SpargeAttention2, arXiv 2602.13515).
// The result depends on nothing but these scores, so every backend keeps exactly the same blocks.
//
// Order. Descending score; equal scores (and -0 = +0) by ascending index; NaN after everything
// else.
//
// Top-k keeps the first TopKCount blocks: floor((2 k_ppm a + 10^6) / (2 10^6)) clamped to [1, a], a
// the number of allowed blocks.
//
// Top-p keeps the shortest prefix whose weight reaches TopPTarget, at least one block. A block
// weighs w = 2^30 E(s - m) rounded to the nearest even integer, m the largest score that is not NaN
// and E the stated exponential; a NaN weighs 0; a score equal to m weighs 2^30 even where s - m is
// not a number, so scores of +inf share the weight and, when nothing is larger, scores of -inf do.
// Weights are added as unsigned 64-bit integers: no rounding, hence no order. p = 1 keeps all
// allowed blocks.
//
// Hybrid keeps the longer of the two prefixes, which is their union. Every rule then adds the
// pinned blocks that are allowed. A row without allowed blocks keeps nothing; any other row under
// top-k, top-p or hybrid keeps at least one block, even if all of its scores are NaN.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/attention.h"
#include "kernels/stated_exp.h"

namespace suffice {

inline constexpr int32_t kPartsPerMillion = 1'000'000;
inline constexpr uint32_t kFullWeight = 1u << 30;

SUFFICE_SHARED_INLINE int64_t TopKCount(int32_t k_ppm, int64_t allowed) {
  const int64_t k = (2 * int64_t{k_ppm} * allowed + kPartsPerMillion) / (2 * kPartsPerMillion);
  return k < 1 ? (allowed < 1 ? allowed : 1) : (k < allowed ? k : allowed);
}

// ceil(p_ppm total / 10^6), without overflow for any total.
SUFFICE_SHARED_INLINE uint64_t TopPTarget(int32_t p_ppm, uint64_t total) {
  const uint64_t million = kPartsPerMillion;
  const uint64_t p = static_cast<uint64_t>(p_ppm);
  return p * (total / million) + (p * (total % million) + million - 1) / million;
}

// w of a score that is not NaN; `max` is the row's largest score. Below 2^23 the addition rounds to
// a whole number, to nearest even; from there on every fp32 is one.
SUFFICE_SHARED_INLINE uint32_t SelectionWeight(float score, float max) {
  const float e = score == max ? 1.0f : StatedExp(score - max);
  const float w = e * 0x1p30f;
  return static_cast<uint32_t>(static_cast<int32_t>(w < 0x1p23f ? (w + 0x1p23f) - 0x1p23f : w));
}

// The scores' descending order as an unsigned integer: a larger key comes first, equal scores have
// equal keys, and every NaN has key 0, which no other score has.
SUFFICE_SHARED_INLINE uint32_t OrderKey(float score) {
  const uint32_t bits = std::bit_cast<uint32_t>(score + 0.0f);  // -0 becomes +0
  const uint32_t flip = static_cast<uint32_t>(static_cast<int32_t>(bits) >> 31) | 0x80000000u;
  return score == score ? bits ^ flip : 0u;
}

// Key blocks [begin, end); empty when begin >= end.
struct BlockRange {
  int64_t begin = 0;
  int64_t end = 0;
};

// The key blocks that SelectParams pins for one query block, allowed or not: those that meet the
// pinned tokens, and those that meet the window.
struct PinnedBlocks {
  BlockRange tokens;
  BlockRange window;
  bool contains(int64_t j) const {
    return (tokens.begin <= j && j < tokens.end) || (window.begin <= j && j < window.end);
  }
};
PinnedBlocks PinnedOf(const SelectParams& params, int64_t query_block);

// Settings that came from device memory are not validated: clamped into their range instead.
SUFFICE_SHARED_INLINE SelectSetting Clamped(SelectSetting s) {
  if (s.k_ppm < 0) s.k_ppm = 0;
  if (s.k_ppm > kPartsPerMillion) s.k_ppm = kPartsPerMillion;
  if (s.p_ppm < 1) s.p_ppm = 1;
  if (s.p_ppm > kPartsPerMillion) s.p_ppm = kPartsPerMillion;
  return s;
}

struct RowRule {
  SelectRule rule = SelectRule::kHybrid;
  SelectSetting setting;
  PinnedBlocks pinned;
  const uint8_t* given = nullptr;  // of rule kMask: one byte a block, non-zero = keep
};

// The rule as it reads: a sort and two loops. Sets keep[j] to 1 or 0 for every allowed block j and
// returns the number kept. `order` is scratch; the three spans have one length, the allowed blocks.
int64_t SelectRow(std::span<const float> scores, const RowRule& rule, std::span<int32_t> order,
                  std::span<uint8_t> keep);

}  // namespace suffice
