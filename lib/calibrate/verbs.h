// SPDX-License-Identifier: Apache-2.0
// The verbs of calibrate: measurements into decisions.
#pragma once

#include <string>
#include <vector>

#include "lib/run/run_scope.h"
#include "lib/run/verb.h"

namespace suffice::calibrate {

struct FrontierConfig {
  std::string loss = "failure";
  double confidence = 0.95;
};
void Visit(Fields& f, FrontierConfig& c);

struct SelectConfig {
  std::string loss = "failure";
  double alpha = 0.1;
  double delta = 0.1;
  std::string p_value = "auto";
};
void Visit(Fields& f, SelectConfig& c);

// The Pareto set of cost and loss, with intervals.
Report Frontier(const FrontierConfig& config, RunScope& scope);

// The cheapest setting whose risk is certified; kCheckFailed when none is, with the selection
// written all the same and the dense model as its only rung.
Report Select(const SelectConfig& config, RunScope& scope);

std::vector<Verb> Verbs();

}  // namespace suffice::calibrate
