// SPDX-License-Identifier: Apache-2.0
// One attention under one setting: pool, select, attend; with what was kept and how long each step
// took.
#pragma once

#include <span>
#include <vector>

#include "lib/policy/layer_plan.h"
#include "lib/tensor/tensor.h"

namespace suffice::sparsify {

struct AttentionInputs {
  View q, k, v;  // (B, H, N_q, D), (B, H_kv, N_k, D)
  BlockSize block;
  AttentionMask mask;
  float scale = 0;  // 0: 1 / sqrt(D)
  View scores;      // (B, H, T_q, T_k) fp32: blocks are ranked by these; empty: by pooled q and k
};

struct StepSeconds {
  double pool = 0, select = 0, attend = 0;
  double total() const { return pool + select + attend; }
  StepSeconds& operator+=(const StepSeconds& other);
};

struct AttentionResult {
  Tensor o;           // (B, H, N_q, D), dtype of q; empty if only the mask was asked for
  Tensor lse;         // (B, H, N_q) fp32
  ListStorage lists;  // empty when dense
  PairCount pairs;
  StepSeconds seconds;
  bool scores_nan = false;
};

enum class Wanted { kOutput, kMaskOnly };
// `given` (B, H, T_q, T_k) u8 replaces the selection if not empty.
AttentionResult RunAttention(Context& context, const AttentionInputs& inputs, const LayerPlan& plan,
                             const View& given = {}, Wanted wanted = Wanted::kOutput);

// Kept mass of each query row of `rows` (all if empty): exp(lse_kept - lse_full); 0 for a row that
// kept nothing it could see. From all keys: as much work as half a dense attention over those rows.
std::vector<double> KeptMass(Context& context, const AttentionInputs& inputs, const Tensor& lse,
                             const std::vector<int64_t>& rows);

// Relative error of an output, added up part by part.
struct ErrorSums {
  double d1 = 0, d2 = 0, n1 = 0, n2 = 0;  // sums of |a - b|, (a - b)^2, |b|, b^2
  void Add(const HostArray& found, const HostArray& wanted);
  void Add(std::span<const float> found, std::span<const float> wanted);
  double l1() const;  // sum|a - b| / sum|b|
  double l2() const;  // |a - b| / |b|
};

struct MassSummary {
  double mean = 0, p10 = 0, min = 0;
};
MassSummary Summarize(const std::vector<double>& mass);

}  // namespace suffice::sparsify
