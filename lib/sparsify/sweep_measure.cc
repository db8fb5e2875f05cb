// SPDX-License-Identifier: Apache-2.0
#include "lib/sparsify/sweep_measure.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "lib/base/error.h"
#include "lib/sparsify/block_scores.h"
#include "lib/stats/inference.h"

namespace suffice::sparsify {
namespace {

constexpr const char* kScores[] = {"mean", "cumulant", "oracle"};

// Kept key tokens of each block row; nothing is causal here.
std::vector<int64_t> KeptTokens(const AttentionResult& result, size_t rows, int64_t n_k,
                                int block) {
  if (result.lists.row_ptr.empty()) return std::vector<int64_t>(rows, n_k);
  const HostArray ptr = result.lists.row_ptr.ToHost(), ids = result.lists.row_ids.ToHost();
  std::vector<int64_t> kept(rows);
  for (size_t row = 0; row < rows; ++row) {
    for (int64_t e = ptr.values<int64_t>()[row]; e < ptr.values<int64_t>()[row + 1]; ++e) {
      const int64_t begin = int64_t{ids.values<uint16_t>()[static_cast<size_t>(e)]} * block;
      kept[row] += std::min(begin + block, n_k) - begin;
    }
  }
  return kept;
}

// Attention under one setting, on the host beside the dense one.
struct Outcome {
  HostArray o, lse;  // fp32
  std::vector<int64_t> kept_tokens;
  double seconds = 0;
};

struct Dense {
  AttentionResult result;
  HostArray o, lse;
};

// Adds the block rows of row->what.group to a row of the table.
void AddRows(const SweepLayer& layer, const BlockSize& block, const Outcome& found,
             const Dense& dense, SweepRow* row) {
  const int64_t n = layer.q.shape()[2], dim = layer.q.shape()[3], t_q = BlockCount(n, block.q);
  ErrorSums error;
  for (size_t r = 0; r < found.kept_tokens.size(); ++r) {
    if (row->what.group != 0 && layer.groups[r] != row->what.group) continue;
    const auto number = static_cast<int64_t>(r);
    const int64_t first = number % t_q * block.q, queries = std::min<int64_t>(block.q, n - first);
    const auto begin = static_cast<size_t>(number / t_q * n + first);
    const auto count = static_cast<size_t>(queries), width = static_cast<size_t>(dim);
    error.Add(found.o.values<float>().subspan(begin * width, count * width),
              dense.o.values<float>().subspan(begin * width, count * width));
    const auto kept = found.lse.values<float>().subspan(begin, count),
               full = dense.lse.values<float>().subspan(begin, count);
    for (size_t i = 0; i < count; ++i)
      row->mass.push_back(std::min(1.0, std::exp(double{kept[i]} - double{full[i]})));
    row->pairs += {queries * found.kept_tokens[r], queries * n};
    if (layer.entropies.empty()) continue;
    row->entropy += layer.entropies[r];
    ++row->block_rows;
  }
  row->seconds += found.seconds;
  row->dense_seconds += dense.result.seconds.attend;
  if (error.n1 == 0) return;  // no such row in this layer
  row->l1.push_back(error.l1());
  row->l2.push_back(error.l2());
}

// Scores by name, each made once a layer; empty for those that the selection makes by itself.
class LayerScores {
 public:
  LayerScores(Context& context, const AttentionInputs& inputs, const HostArray& k,
              const Tensor& lse)
      : context_(context), inputs_(inputs), k_(k), lse_(lse) {}

  const Tensor& operator[](const std::string& name) {
    const auto [found, is_new] = made_.try_emplace(name);
    if (is_new && name != "mean") {
      found->second =
          Tensor::FromHost(context_, name == "oracle" ? OracleScores(context_, inputs_, lse_)
                                                      : CumulantScores(context_, inputs_, k_));
    }
    return found->second;
  }

 private:
  Context& context_;
  const AttentionInputs& inputs_;
  const HostArray& k_;
  const Tensor& lse_;
  std::map<std::string, Tensor> made_;
};

}  // namespace

void CheckScores(const std::vector<std::string>& scores) {
  if (scores.empty()) throw UsageError("scores: none given");
  for (auto name = scores.begin(); name != scores.end(); ++name) {
    if (std::find(std::begin(kScores), std::end(kScores), *name) == std::end(kScores))
      throw UsageError("scores: '{}' found, mean, cumulant or oracle wanted", *name);
    if (std::find(scores.begin(), name, *name) != name)
      throw UsageError("scores: '{}' is given twice", *name);
  }
}

std::vector<int64_t> GroupsOf(const std::vector<double>& values, const std::vector<double>& all,
                              int64_t count) {
  std::vector<double> cuts;
  for (int64_t i = 1; i < count; ++i)
    cuts.push_back(Quantile(all, static_cast<double>(i) / static_cast<double>(count)));
  std::vector<int64_t> groups;
  for (const double x : values)
    groups.push_back(1 + (std::lower_bound(cuts.begin(), cuts.end(), x) - cuts.begin()));
  return groups;
}

void MeasureLayer(Context& context, const SweepLayer& layer, const BlockSize& block,
                  const std::vector<SweepCase>& cases, size_t order, SweepTable* table) {
  AttentionInputs inputs{layer.q, layer.k, layer.v, block, {}, 0, {}};
  const Shape& shape = layer.q.shape();
  const int64_t heads = shape[1];
  Dense dense{RunAttention(context, inputs, PlanLayer(DenseSetting(), 0, heads, 0)), {}, {}};
  dense.o = dense.result.o.ToHost().Cast(DType::kF32);
  dense.lse = dense.result.lse.ToHost();
  const AttentionInputs unranked = inputs;
  LayerScores scores(context, unranked, layer.host_k, dense.result.lse);
  const auto rows = static_cast<size_t>(shape[0] * heads * BlockCount(shape[2], block.q));
  Outcome found;
  const SweepCase* last = nullptr;
  for (size_t s = 0; s < cases.size(); ++s) {
    if (!table->Wants(order, s)) continue;
    if (last == nullptr || !last->SameRun(cases[s])) {
      inputs.scores = scores[cases[s].scores];
      const AttentionResult result =
          RunAttention(context, inputs, PlanLayer(cases[s].setting, 0, heads, 0));
      found = {result.o.ToHost().Cast(DType::kF32), result.lse.ToHost(),
               KeptTokens(result, rows, shape[2], block.k), result.seconds.total()};
    }
    last = &cases[s];
    AddRows(layer, block, found, dense, &table->row(order, s));
  }
}

}  // namespace suffice::sparsify
