// SPDX-License-Identifier: Apache-2.0
#include "lib/policy/layer_plan.h"

#include <algorithm>

#include "lib/base/error.h"

namespace suffice {
namespace {

constexpr int32_t kMillion = 1'000'000;

// As a case of the hybrid rule.
SelectSetting AsHybrid(const HeadRule& head) {
  switch (head.rule) {
    case SelectRule::kTopK:
      return {head.setting.k_ppm, 1};
    case SelectRule::kTopP:
      return {0, head.setting.p_ppm};
    case SelectRule::kAll:
      return {kMillion, kMillion};
    default:
      return head.setting;
  }
}

}  // namespace

bool LayerPlan::uniform() const {
  return std::all_of(heads.begin(), heads.end(),
                     [&](const SelectSetting& s) { return s == heads.front(); });
}

LayerPlan PlanLayer(const Setting& setting, int64_t layer, int64_t heads, double t) {
  LayerPlan plan;
  plan.window = setting.window;
  plan.pin_begin = setting.pin_begin;
  plan.pin_end = setting.pin_end;
  for (int64_t head = 0; head < heads; ++head) {
    const HeadRule rule = RuleAt(setting, layer, head, t);
    plan.dense = plan.dense && rule.rule == SelectRule::kAll;
    plan.heads.push_back(AsHybrid(rule));
  }
  return plan;
}

void ApplyPlan(const LayerPlan& plan, Context& context, SelectParams* params, Tensor* storage) {
  params->rule = SelectRule::kHybrid;
  params->setting = plan.heads.front();
  params->window = plan.window;
  params->pin_begin = plan.pin_begin;
  params->pin_end = plan.pin_end;
  params->settings = View{};
  if (plan.uniform()) return;
  HostArray table(DType::kI32, {static_cast<int64_t>(plan.heads.size()), 2});
  for (size_t h = 0; h < plan.heads.size(); ++h) {
    table.values<int32_t>()[2 * h] = plan.heads[h].k_ppm;
    table.values<int32_t>()[2 * h + 1] = plan.heads[h].p_ppm;
  }
  *storage = Tensor::FromHost(context, table);
  params->settings = *storage;
}

PairCount DensePairs(int64_t sequences, int64_t n_q, int64_t n_k, AttentionMask mask) {
  int64_t pairs = 0;
  for (int64_t t = 0; t < n_q; ++t) pairs += VisibleKeys(t, n_q, n_k, mask);
  return {sequences * pairs, sequences * pairs};
}

PairCount CountPairs(const ListStorage& lists, int64_t sequences, int64_t n_q, int64_t n_k,
                     BlockSize block, AttentionMask mask) {
  Context& context = lists.row_ptr.context();
  const Tensor total(context, DType::kI64, {1});
  context.Run(CountPairsParams{
      .rows = lists.rows(), .total = total, .n_q = n_q, .n_k = n_k, .block = block, .mask = mask});
  PairCount count = DensePairs(sequences, n_q, n_k, mask);
  count.kept = total.ToHost().values<int64_t>()[0];
  return count;
}

}  // namespace suffice
