// SPDX-License-Identifier: Apache-2.0
// A setting worked out for one layer at one time, in the terms of the select operation; and the
// density of what was selected.
#pragma once

#include <vector>

#include "lib/policy/setting.h"
#include "lib/tensor/block_lists.h"

namespace suffice {

// Every rule is a case of the hybrid one, so that the heads of a layer may differ: top-k alone is
// hybrid with the least p, top-p alone is hybrid with k = 0, dense is hybrid with k = 1.
struct LayerPlan {
  bool dense = true;                 // all heads: no selection is needed
  std::vector<SelectSetting> heads;  // (H)
  int64_t window = -1;
  int64_t pin_begin = 0, pin_end = 0;

  bool uniform() const;  // all heads alike
};
LayerPlan PlanLayer(const Setting& setting, int64_t layer, int64_t heads, double t);

// Puts the plan's settings into `params`; per-head ones go to the device in `*storage`, which must
// live as long as params is used.
void ApplyPlan(const LayerPlan& plan, Context& context, SelectParams* params, Tensor* storage);

// Kept and allowed (query, key) token pairs. Density is their ratio.
struct PairCount {
  int64_t kept = 0, allowed = 0;
  double density() const {
    return allowed == 0 ? 0 : static_cast<double>(kept) / static_cast<double>(allowed);
  }
  PairCount& operator+=(const PairCount& other) {
    kept += other.kept;
    allowed += other.allowed;
    return *this;
  }
};
// For `sequences` = B * H rows of blocks. Reads the device: waits for it.
PairCount CountPairs(const ListStorage& lists, int64_t sequences, int64_t n_q, int64_t n_k,
                     BlockSize block, AttentionMask mask);
PairCount DensePairs(int64_t sequences, int64_t n_q, int64_t n_k, AttentionMask mask);

}  // namespace suffice
