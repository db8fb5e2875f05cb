// SPDX-License-Identifier: Apache-2.0
// The table that `sparsify sweep` fills: one row per token order and setting, over every layer of a
// capture. It goes into a checkpoint after each layer and comes back from there.
#pragma once

#include <string>
#include <vector>

#include "lib/io/tensor_file.h"
#include "lib/policy/layer_plan.h"
#include "lib/policy/setting.h"

namespace suffice::sparsify {

struct SweepRow {
  std::string order;
  Setting setting;
  PairCount pairs;
  std::vector<double> l1, l2;  // relative error of the output, per layer
  std::vector<double> mass;    // kept mass, per query
  double seconds = 0, dense_seconds = 0;
};

class SweepTable {
 public:
  // Rows outside of [begin, end) are not wanted: they are neither kept nor written.
  SweepTable(const std::vector<std::string>& orders, const std::vector<Setting>& settings,
             int64_t begin, int64_t end);

  bool Wants(size_t order, size_t setting) const;
  SweepRow& row(size_t order, size_t setting);  // a wanted one

  static std::string Header();  // of the TSV, one line

  // The state under /state/rows; Load expects what Save of a table of the same size wrote.
  void Save(TensorWriter* writer) const;
  void Load(const TensorReader& checkpoint);

  std::string Tsv() const;   // a header, then a line per row
  std::string Json() const;  // one array

 private:
  std::vector<SweepRow> rows_;  // the wanted ones
  size_t settings_;
  size_t begin_;
};

}  // namespace suffice::sparsify
