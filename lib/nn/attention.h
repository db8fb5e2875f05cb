// SPDX-License-Identifier: Apache-2.0
// Attention as a differentiable function: normalisation and rotation of q and k, selection of
// blocks, attention over them, and the gradient with the selection held constant (README,
// "Block-sparse attention, defined once").
#pragma once

#include <functional>
#include <utility>
#include <vector>

#include "lib/nn/tape.h"

namespace suffice {

// What the attention of one layer keeps.
struct AttentionSettings {
  bool dense = true;  // no pooling, no lists; the rest is then of no effect but block and causal
  BlockSize block;
  SelectRule rule = SelectRule::kHybrid;
  SelectSetting setting;             // of every head, unless:
  std::vector<SelectSetting> heads;  // one for each head
  int64_t pin_begin = 0, pin_end = 0;
  int64_t window = -1;
  bool causal = false;
  bool operator==(const AttentionSettings&) const = default;
};

// What a look at a layer's attention sees, in the middle of a forward pass. The tensors stay valid
// for as long as they are held; v is a strided view.
struct AttentionTrace {
  Tensor q, k;     // (B, H, N, D) as attended: normalised and rotated
  Tensor v;        // (B, H, N_k, D), D contiguous
  Tensor o, lse;   // (B, H, N, D), D contiguous; (B, H, N) fp32
  Tensor row_ptr;  // kept blocks, kernels/attention.h BlockLists; empty if dense
  Tensor row_ids;
  AttentionSettings settings;
};
using AttentionObserver = std::function<void(const AttentionTrace&)>;

struct Rope {
  Tensor cos, sin;  // (N, D / 2) fp32; empty: no rotation
};

// q and k of a layer, ready for attention.
struct QkHeads {
  Var q, k;                   // (B, H, N, D), (B, H_k, N_k, D)
  Tensor q_pooled, k_pooled;  // (B, H, ceil(N / block), D) fp32; empty unless a block was given
};

// q (B * N, H * D) and k (B * N_k, H_k * D), which may be parts of a fused projection; weights (D)
// of the RMS norms, or empty. Pools blocks if `settings` is sparse. Keeps q, k and their rms.
QkHeads QkNormRope(Tape& tape, const Var& q, const Var& k, const Var& q_weight, const Var& k_weight,
                   const Rope& rope, int64_t batch, int64_t head_dim,
                   const AttentionSettings& settings);

// softmax(q k^T / sqrt(D)) v over the kept blocks, (B * N, H * D). v (B * N_k, H_k * D), which may
// be a part. Keeps q, k, v, the output, the log-sum-exp, and the lists of kept blocks (two bytes a
// kept block each way, in buffers for all of them).
Var Attention(Tape& tape, const QkHeads& heads, const Var& v, const AttentionSettings& settings,
              const AttentionObserver& observer = nullptr);

}  // namespace suffice
