// SPDX-License-Identifier: Apache-2.0
#include "lib/model/attention_plan.h"

#include <algorithm>

#include "lib/policy/layer_plan.h"

namespace suffice {

AttentionPlan PlanAt(const Setting& setting, BlockSize block, int64_t layers, int64_t heads,
                     double t) {
  AttentionPlan plan;
  for (int64_t layer = 0; layer < layers; ++layer) {
    const LayerPlan of_layer = PlanLayer(setting, layer, heads, t);
    AttentionSettings s;
    s.dense = of_layer.dense;
    s.block = block;
    s.rule = SelectRule::kHybrid;
    s.setting = of_layer.heads.front();
    if (!of_layer.uniform()) s.heads = of_layer.heads;
    s.pin_begin = of_layer.pin_begin;
    s.pin_end = of_layer.pin_end;
    s.window = of_layer.window;
    plan.layers.push_back(s);
  }
  return plan;
}

bool Replayable(const AttentionPlan& plan) {
  return std::all_of(plan.layers.begin(), plan.layers.end(),
                     [](const AttentionSettings& layer) { return layer.heads.empty(); });
}

bool SamePlan(const Setting& setting, int64_t layers, int64_t heads, const std::vector<double>& t) {
  for (int64_t layer = 0; layer < layers; ++layer) {
    const std::vector<SelectSetting> first = PlanLayer(setting, layer, heads, t.front()).heads;
    for (const double other : t) {
      if (PlanLayer(setting, layer, heads, other).heads != first) return false;
    }
  }
  return true;
}

}  // namespace suffice
