// SPDX-License-Identifier: Apache-2.0
// Block-sparse attention: pool, select, attend, attend_backward (design: README, "Block-sparse
// attention, defined once"; method: SpargeAttention2, arXiv 2602.13515, section 3, Eq. 9).
//
// Letters, as in the paper: q (B, H, N_q, D); k, v (B, H_kv, N_k, D), H a multiple of H_kv, query
// head h reads key head h / (H / H_kv); b_q x b_k tokens a block; T_q = ceil(N_q / b_q), T_k =
// ceil(N_k / b_k); the last block of either may be partial. Causal: query t sees the keys <= t +
// N_k - N_q. q, k, v, o and their gradients are bf16 or fp32, all of one dtype, any strides with D
// contiguous.
#pragma once

#include <cstdint>

#include "lib/base/view.h"

namespace suffice {

struct BlockSize {
  int q = 128;
  int k = 64;
  bool operator==(const BlockSize&) const = default;
};
// constexpr: device code calls these too.
constexpr int64_t BlockCount(int64_t tokens, int block) { return (tokens + block - 1) / block; }

// What attention may look at, apart from the selection.
struct AttentionMask {
  bool causal = false;
  // Number of allowed key blocks of query block i: those with at least one allowed pair. Key blocks
  // [0, AllowedBlocks) are allowed, the others are not.
  constexpr int64_t AllowedBlocks(int64_t i, int64_t n_q, int64_t n_k, BlockSize block) const {
    const int64_t t_k = BlockCount(n_k, block.k);
    if (!causal) return t_k;
    const int64_t last_query = (i + 1) * block.q < n_q ? (i + 1) * block.q - 1 : n_q - 1;
    const int64_t last_key = last_query + n_k - n_q;
    if (last_key < 0) return 0;
    const int64_t blocks = last_key / block.k + 1;
    return blocks < t_k ? blocks : t_k;
  }
};

// Step 1. Mean over each block's valid tokens, in fp32, of the stored values.
// Tokens are added in ascending order in fp32 and the sum is divided by their number.
struct PoolParams {
  View x;       // (B, H, N, D)
  View pooled;  // (B, H, ceil(N / block), D) fp32, out
  int block = 128;
};

// The number of keys that query t may see: keys [0, VisibleKeys).
constexpr int64_t VisibleKeys(int64_t t, int64_t n_q, int64_t n_k, AttentionMask mask) {
  if (!mask.causal) return n_k;
  const int64_t keys = t + n_k - n_q + 1;
  return keys < 0 ? 0 : keys < n_k ? keys : n_k;
}

enum class SelectRule : uint8_t {
  kHybrid,  // the longer of the two prefixes
  kTopK,
  kTopP,
  kMask,  // a given mask: the kept blocks of SelectParams::given that are allowed
  kAll,   // every allowed block: dense attention by lists
};

// One head's setting: decimal fractions kept as integers in parts per million.
struct SelectSetting {
  int32_t k_ppm = 0;  // in [0, 10^6]; top-k keeps at least one block
  int32_t p_ppm = 0;  // in (0, 10^6] where the rule uses it
  bool operator==(const SelectSetting&) const = default;
};

// Compressed lists of kept blocks. Ids ascend within a row. `ptr` holds rows + 1 offsets into
// `ids`, whose capacity is the number of all blocks; entries at and after ptr[rows] are never read.
struct BlockLists {
  View ptr;  // (rows + 1) i64
  View ids;  // (capacity) u16; T_q, T_k <= 65,536
  bool empty() const { return ptr.empty(); }
};

// Steps 2 and 3: scores, selection, row lists and their transpose.
// The set depends on the scores alone, by the rules of kernels/select_rule.h: every backend selects
// exactly the same blocks from the same scores.
struct SelectParams {
  View q_pooled;  // (B, H, T_q, D) fp32; with k_pooled empty: `scores` is the input
  View k_pooled;  // (B, H_kv, T_k, D) fp32
  View scores;    // (B, H, T_q, T_k) fp32; optional out, or the input as said above; not-allowed
                  // entries are written as -inf
  View given;     // (B, H, T_q, T_k) u8, non-zero = keep; rule kMask only
  float scale = 0.0f;  // of q.k; 1 / sqrt(D) as a rule
  int64_t n_q = 0;
  int64_t n_k = 0;
  BlockSize block;
  AttentionMask mask;

  SelectRule rule = SelectRule::kHybrid;
  SelectSetting setting;  // of every head, unless:
  View settings;          // (H, 2) i32: k_ppm, p_ppm of each head, clamped into range; optional

  // Pinned, if allowed: blocks meeting key tokens [pin_begin, pin_end), and those within `window`
  // tokens of the query block's token range shifted by N_k - N_q (0 = the diagonal, -1 = none).
  int64_t pin_begin = 0;
  int64_t pin_end = 0;
  int64_t window = -1;

  BlockLists rows;     // rows = B * H * T_q: kept key blocks of each query block, out
  BlockLists columns;  // rows = B * H * T_k (query heads): its transpose, out; optional
  View nan_flag;       // (1) i32, out: 1 if any score of an allowed block is NaN, else 0; optional
};

// Step 4. o = softmax(scale * q k^T over the kept blocks) v, and lse its natural-log normaliser.
// A query with no allowed key in its kept blocks gives o = 0, lse = -inf. No lists: dense
// attention, by the same kernel with every allowed block kept.
//
// A NaN in q, or in k of a kept key that a query sees, makes that query's o and lse NaN; one in v
// that column of o. Blocks that are not kept are never read. Within a kept block, a causal query
// gives the keys behind its bound weight 0, and whether 0 is multiplied by their v is up to the
// backend: a NaN or infinity there may make o NaN, and lse never.
struct AttendParams {
  View q, k, v;
  View o;    // (B, H, N_q, D), dtype of q, out
  View lse;  // (B, H, N_q) fp32, out; optional
  BlockLists rows;
  float scale = 0.0f;
  BlockSize block;
  AttentionMask mask;
};

// Step 5. The gradient of step 4 with the mask held constant. Deterministic: dq by row lists, dk
// and dv by column lists, no atomics. Gradients are overwritten, all of them (a key block that no
// query keeps gets zeros; so does a query with lse = -inf). Heads sharing a key head are summed in
// order. As in step 4, a pair of a kept block that the causal bound hides has weight 0, and a NaN
// or infinity of either side may make the other side's gradients NaN.
struct AttendBackwardParams {
  View q, k, v, o, lse;      // what AttendParams took and gave
  View d_o;                  // (B, H, N_q, D)
  View dq, dk, dv;           // shapes of q, k, v; dtype of q, out
  BlockLists rows, columns;  // both or neither (dense)
  float scale = 0.0f;
  BlockSize block;
  AttentionMask mask;
};

// Kept mass: the log-sum-exp over *all* allowed keys of chosen query rows, to set against lse.
// rows empty: every row. kept mass of a row = exp(lse_kept - lse_full).
struct FullLseParams {
  View q, k;
  View row_ids;   // (R) i64 query positions; optional
  View lse_full;  // (B, H, R or N_q) fp32, out
  float scale = 0.0f;
  AttentionMask mask;
};

// Pairs of a query and a key that a kept block of these holds: partial blocks and the causal edge
// counted as what they are.
constexpr int64_t PairsOf(int64_t q_block, int64_t k_block, int64_t n_q, int64_t n_k,
                          BlockSize block, AttentionMask mask) {
  const int64_t q_begin = q_block * block.q, k_begin = k_block * block.k;
  const int64_t q_end = q_begin + block.q < n_q ? q_begin + block.q : n_q;
  const int64_t k_end = k_begin + block.k < n_k ? k_begin + block.k : n_k;
  if (!mask.causal) return (q_end - q_begin) * (k_end - k_begin);
  int64_t pairs = 0;
  for (int64_t t = q_begin; t < q_end; ++t) {
    const int64_t seen = VisibleKeys(t, n_q, n_k, mask);
    if (seen > k_begin) pairs += (seen < k_end ? seen : k_end) - k_begin;
  }
  return pairs;
}

// How many pairs of tokens the kept blocks of all heads hold: a density's numerator.
struct CountPairsParams {
  BlockLists rows;          // (B * H * T_q + 1) offsets
  View total;               // (1) i64, out
  bool accumulate = false;  // add to what is in total
  int64_t n_q = 0;
  int64_t n_k = 0;
  BlockSize block;
  AttentionMask mask;
};

}  // namespace suffice
