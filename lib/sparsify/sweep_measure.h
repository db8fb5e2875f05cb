// SPDX-License-Identifier: Apache-2.0
// One layer of a capture under every case of a sweep.
#pragma once

#include <string>
#include <vector>

#include "lib/sparsify/attention_run.h"
#include "lib/sparsify/sweep_table.h"

namespace suffice::sparsify {

struct SweepLayer {
  Tensor q, k, v;
  HostArray host_k;  // k once more, where a score is made of all keys
  // Of each block row, (B * H * T_q): the entropy of its pooled map, and its group from 1 on. Empty
  // when rows are not grouped.
  std::vector<double> entropies;
  std::vector<int64_t> groups;
};

// Throws kUsage for a name that is none of block_scores.h.
void CheckScores(const std::vector<std::string>& scores);

// Groups of about equal size, by ascending value: 1 + the number of the count - 1 quantiles that
// are below it. `all` is what the quantiles are of.
std::vector<int64_t> GroupsOf(const std::vector<double>& values, const std::vector<double>& all,
                              int64_t count);

// What each wanted case costs and keeps on one layer, against the same kernel with every block
// kept.
void MeasureLayer(Context& context, const SweepLayer& layer, const BlockSize& block,
                  const std::vector<SweepCase>& cases, size_t order, SweepTable* table);

}  // namespace suffice::sparsify
