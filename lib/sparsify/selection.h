// SPDX-License-Identifier: Apache-2.0
// What `sparsify attend` and `sparsify mask` share: a selection's config, the tensors it is about,
// and the mask as a file holds it.
#pragma once

#include "lib/run/run_scope.h"
#include "lib/sparsify/attention_run.h"
#include "lib/sparsify/inputs.h"
#include "lib/sparsify/verbs.h"

namespace suffice::sparsify {

inline constexpr char kDensityFormula[] = "kept (query, key) token pairs / allowed pairs";

Setting ToSetting(const SelectionConfig& config);  // throws kUsage for one that cannot be
BlockSize ToBlock(const SelectionConfig& config);  // throws kUsage for sizes no kernel has

struct LoadedSelection {
  LoadedInputs tensors;
  Tensor given;  // (B, H, T_q, T_k) u8 of --mask, or empty
  AttentionInputs inputs;
};
LoadedSelection LoadSelection(const SelectionConfig& config, RunScope& scope,
                              const TensorReader& reader);

// `attends`: the output is computed, not the mask alone.
Plan PlanSelection(const SelectionConfig& config, const InputShapes& shapes, bool attends);

// The kept blocks as (B, H, T_q, T_k) bytes, what a person or another program reads, for q (B, H).
HostArray MaskBytes(const AttentionResult& result, int64_t batch, int64_t heads, int64_t t_q,
                    int64_t t_k);
void WriteMask(TensorWriter* writer, const HostArray& bytes, const AttentionInputs& inputs,
               const PairCount& pairs);

}  // namespace suffice::sparsify
