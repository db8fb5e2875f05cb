// SPDX-License-Identifier: Apache-2.0
// What is known of a row of blocks before its scores: which key blocks are allowed and which are
// pinned. The same answers as AttentionMask::AllowedBlocks and PinnedOf, as 32-bit arithmetic that
// device code shares with the host.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/select_rule.h"

namespace suffice::cuda {

// Key blocks [begin, end); empty when begin >= end.
struct BlockSpan {
  int begin = 0;
  int end = 0;
};

struct SelectGeometry {
  int n_q = 1, n_k = 1;
  int block_q = 1, block_k = 1;
  int t_q = 1, t_k = 1;
  bool causal = false;
  BlockSpan pinned;  // of every row
  int window = -1;   // in tokens

  SUFFICE_SHARED_INLINE int AllowedBlocks(int i) const {
    if (!causal) return t_k;
    const int next = (i + 1) * block_q;
    const int last_key = (next < n_q ? next : n_q) - 1 + n_k - n_q;
    if (last_key < 0) return 0;
    const int blocks = last_key / block_k + 1;
    return blocks < t_k ? blocks : t_k;
  }

  // The blocks that meet the window of query block i.
  SUFFICE_SHARED_INLINE BlockSpan Window(int i) const {
    if (window < 0) return {};
    const int next = (i + 1) * block_q;
    int first = i * block_q + n_k - n_q - window;
    int last = (next < n_q ? next : n_q) - 1 + n_k - n_q + window;
    first = first > 0 ? first : 0;
    last = last < n_k ? last : n_k - 1;
    if (first > last) return {};
    return {first / block_k, last / block_k + 1};
  }
};

// A block that is longer than the sequence is as good as one that just holds it, and leaves no room
// for overflow; so does a window wider than everything.
inline SelectGeometry GeometryOf(const SelectParams& p) {
  SelectGeometry g;
  g.n_q = static_cast<int>(p.n_q);
  g.n_k = static_cast<int>(p.n_k);
  g.block_q = static_cast<int>(std::min<int64_t>(p.block.q, p.n_q));
  g.block_k = static_cast<int>(std::min<int64_t>(p.block.k, p.n_k));
  g.t_q = static_cast<int>(BlockCount(p.n_q, g.block_q));
  g.t_k = static_cast<int>(BlockCount(p.n_k, g.block_k));
  g.causal = p.mask.causal;
  const BlockRange pinned = PinnedOf(p, 0).tokens;
  g.pinned = {static_cast<int>(pinned.begin), static_cast<int>(pinned.end)};
  g.window = static_cast<int>(std::clamp<int64_t>(p.window, -1, p.n_q + p.n_k));
  return g;
}

// The bits of blocks [begin, end) in a word whose lowest bit is block `first`.
SUFFICE_SHARED_INLINE uint32_t SpanBits(BlockSpan span, int first) {
  const int begin = span.begin > first ? span.begin - first : 0;
  const int end = span.end - first < 32 ? span.end - first : 32;
  if (begin >= end) return 0;
  return (~0u >> (32 - (end - begin))) << begin;
}

}  // namespace suffice::cuda
