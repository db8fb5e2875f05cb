// SPDX-License-Identifier: Apache-2.0
// What `sparsify attend` and `sparsify mask` share: a selection's config, the tensors it is about,
// and the mask as a file holds it.
#pragma once

#include "lib/run/run_scope.h"
#include "lib/sparsify/attention_run.h"
#include "lib/sparsify/head_stream.h"
#include "lib/sparsify/verbs.h"

namespace suffice::sparsify {

inline constexpr char kDensityFormula[] = "kept (query, key) token pairs / allowed pairs";

// Before anything is loaded: throws kUsage for a setting that cannot be, block sizes that no kernel
// has, and a key that was changed and that the rule, or --mask instead of one, takes no notice of.
void CheckSelection(const SelectionConfig& config, const RunScope& scope);

// What a selection is about, its tensors a group of heads at a time.
class LoadedSelection {
 public:
  LoadedSelection(const SelectionConfig& config, RunScope& scope, const TensorReader& reader);

  const std::vector<HeadGroup>& groups() const { return stream_.groups(); }
  const InputShapes& shapes() const { return shapes_; }
  BlockSize block() const { return block_; }
  int64_t t_q() const { return BlockCount(shapes_.q[2], block_.q); }
  int64_t t_k() const { return BlockCount(shapes_.k[2], block_.k); }

  // Attention over one group, and what it was about. Throws kData for scores that are not numbers.
  struct Part {
    LoadedInputs tensors;
    AttentionInputs inputs;
    AttentionResult result;
  };
  Part Attend(size_t group, Wanted wanted);

  // A group's rows into their place of a (B, H, ...) array, and its kept blocks into a mask's.
  void Place(const HostArray& part, const HeadGroup& group, HostArray* whole) const;
  HostArray MaskOf(const AttentionResult& result, const HeadGroup& group) const;
  void WriteMask(TensorWriter* writer, const HostArray& mask, const PairCount& pairs) const;

 private:
  RunScope& scope_;
  const InputShapes shapes_;
  const BlockSize block_;
  const Setting setting_;
  const AttentionMask mask_;
  const float scale_;
  HeadStream stream_;
  Tensor given_;  // (B, H, T_q, T_k) u8 of --mask, or empty
};

// `heads` still want their output (of all batches together); 0: it is about the mask alone.
Plan PlanSelection(const SelectionConfig& config, const InputShapes& shapes, int64_t heads);
// Heads in the groups that come after the first `done`.
int64_t HeadsLeft(const SelectionConfig& config, const InputShapes& shapes, int64_t done);

}  // namespace suffice::sparsify
