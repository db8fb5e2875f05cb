// SPDX-License-Identifier: Apache-2.0
#include "lib/model/attention_plan.h"

#include <algorithm>

namespace suffice {
namespace {

bool Same(const HeadRule& a, const HeadRule& b) {
  return a.rule == b.rule && a.setting == b.setting;
}

// Hybrid keeps the longer of two prefixes; k = 0 and p = 1 ppm give the shortest, one block (the
// largest of at most 65,536 weights is more than 1 ppm of their sum).
SelectSetting AsHybrid(const HeadRule& head) {
  constexpr int32_t kAll = 1'000'000;
  switch (head.rule) {
    case SelectRule::kTopK:
      return {head.setting.k_ppm, 1};
    case SelectRule::kTopP:
      return {0, head.setting.p_ppm};
    case SelectRule::kAll:
      return {0, kAll};
    default:
      return head.setting;
  }
}

}  // namespace

AttentionPlan PlanAt(const Setting& setting, BlockSize block, int64_t layers, int64_t heads,
                     double t) {
  AttentionPlan plan;
  for (int64_t layer = 0; layer < layers; ++layer) {
    std::vector<HeadRule> rules;
    for (int64_t head = 0; head < heads; ++head) {
      rules.push_back(RuleAt(setting, layer, head, t));
    }
    const auto all_of = [&](const auto& holds) {
      return std::all_of(rules.begin(), rules.end(), holds);
    };
    AttentionSettings s;
    s.block = block;
    s.dense = all_of([](const HeadRule& r) { return r.rule == SelectRule::kAll; });
    s.window = setting.window;
    s.pin_begin = setting.pin_begin;
    s.pin_end = setting.pin_end;
    if (all_of([&](const HeadRule& r) { return Same(r, rules[0]); })) {
      s.rule = rules[0].rule;
      s.setting = rules[0].setting;
    } else {
      const bool one_rule = all_of([&](const HeadRule& r) { return r.rule == rules[0].rule; });
      s.rule = one_rule ? rules[0].rule : SelectRule::kHybrid;
      for (const HeadRule& head : rules) {
        s.heads.push_back(one_rule ? head.setting : AsHybrid(head));
      }
    }
    plan.layers.push_back(s);
  }
  return plan;
}

bool SamePlan(const Setting& setting, int64_t layers, int64_t heads, const std::vector<double>& t) {
  for (int64_t layer = 0; layer < layers; ++layer) {
    for (int64_t head = 0; head < heads; ++head) {
      for (const double other : t) {
        if (!Same(RuleAt(setting, layer, head, t[0]), RuleAt(setting, layer, head, other))) {
          return false;
        }
      }
    }
  }
  return true;
}

}  // namespace suffice
