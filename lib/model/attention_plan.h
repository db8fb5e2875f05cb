// SPDX-License-Identifier: Apache-2.0
// What the self-attention of each layer keeps in one forward pass.
#pragma once

#include <vector>

#include "lib/nn/attention.h"
#include "lib/policy/setting.h"

namespace suffice {

struct AttentionPlan {
  std::vector<AttentionSettings> layers;  // one for each layer, or none: dense everywhere
  bool operator==(const AttentionPlan&) const = default;
};

// Whether a pass under the plan may be recorded: heads with settings of their own have them copied
// from the host each time.
bool Replayable(const AttentionPlan& plan);

// The plan of a setting at time t of the flow.
AttentionPlan PlanAt(const Setting& setting, BlockSize block, int64_t layers, int64_t heads,
                     double t);

// Whether the setting's plan is the same at all of these times.
bool SamePlan(const Setting& setting, int64_t layers, int64_t heads, const std::vector<double>& t);

}  // namespace suffice
