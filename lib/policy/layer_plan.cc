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

// Keys that query t may see.
int64_t VisibleKeys(int64_t t, int64_t n_q, int64_t n_k, AttentionMask mask) {
  return mask.causal ? std::clamp<int64_t>(t + 1 + n_k - n_q, 0, n_k) : n_k;
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
  const HostArray ptr = lists.row_ptr.ToHost();
  const HostArray ids = lists.row_ids.ToHost();
  const auto offsets = ptr.values<int64_t>();
  const auto kept = ids.values<uint16_t>();
  const int64_t t_q = BlockCount(n_q, block.q);
  SUFFICE_CHECK(static_cast<int64_t>(offsets.size()) == sequences * t_q + 1);
  PairCount count = DensePairs(sequences, n_q, n_k, mask);
  count.kept = 0;
  for (int64_t row = 0; row < sequences * t_q; ++row) {
    const int64_t q_begin = row % t_q * block.q;
    const int64_t q_end = std::min(q_begin + block.q, n_q);
    for (int64_t e = offsets[static_cast<size_t>(row)]; e < offsets[static_cast<size_t>(row) + 1];
         ++e) {
      const int64_t k_begin = int64_t{kept[static_cast<size_t>(e)]} * block.k;
      const int64_t k_end = std::min(k_begin + block.k, n_k);
      if (!mask.causal) {
        count.kept += (q_end - q_begin) * (k_end - k_begin);
        continue;
      }
      for (int64_t t = q_begin; t < q_end; ++t) {
        count.kept +=
            std::max<int64_t>(0, std::min(k_end, VisibleKeys(t, n_q, n_k, mask)) - k_begin);
      }
    }
  }
  return count;
}

}  // namespace suffice
