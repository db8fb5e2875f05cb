// SPDX-License-Identifier: Apache-2.0
// The table that `sparsify sweep` fills: one row per token order and case, over every layer of a
// capture. It goes into a checkpoint after each layer and comes back from there.
#pragma once

#include <string>
#include <vector>

#include "lib/io/tensor_file.h"
#include "lib/policy/layer_plan.h"
#include "lib/policy/setting.h"

namespace suffice::sparsify {

// A setting, what it ranks blocks by (block_scores.h), and of which block rows the row speaks.
struct SweepCase {
  Setting setting;
  std::string scores = "mean";
  // 0: of all. Else of the n-th of `groups` groups, from the least entropy of the pooled map on.
  int64_t group = 0, groups = 1;
  bool SameRun(const SweepCase& other) const {
    return scores == other.scores && setting == other.setting;
  }
};

struct SweepRow {
  std::string order;
  SweepCase what;
  PairCount pairs;
  std::vector<double> l1, l2;  // relative error of the output, per layer with such rows
  std::vector<double> mass;    // kept mass, per query
  double entropy = 0;          // of the pooled map: a sum over ...
  int64_t block_rows = 0;      // ... so many block rows; 0: not measured
  double seconds = 0, dense_seconds = 0;

  double mean_entropy() const { return entropy / static_cast<double>(block_rows); }
};

class SweepTable {
 public:
  // Rows outside of [begin, end) are not wanted: they are neither kept nor written.
  SweepTable(const std::vector<std::string>& orders, const std::vector<SweepCase>& cases,
             int64_t begin, int64_t end);

  bool Wants(size_t order, size_t index) const;  // order and case
  SweepRow& row(size_t order, size_t index);     // a wanted one

  static std::string Header();  // of the TSV, one line

  // The state under /state/rows; Load expects what Save of a table of the same size wrote.
  void Save(TensorWriter* writer) const;
  void Load(const TensorReader& checkpoint);

  std::string Tsv() const;   // a header, then a line per row
  std::string Json() const;  // one array

 private:
  std::vector<SweepRow> rows_;  // the wanted ones
  size_t cases_;
  size_t begin_;
};

}  // namespace suffice::sparsify
