// SPDX-License-Identifier: Apache-2.0
// Learn-then-Test with fixed-sequence testing (arXiv 2110.01052, section 3; the split in two halves
// as in Pareto Testing, arXiv 2210.07913).
//
// The order split alone decides which settings are tested and in which order: the Pareto set of
// cost and mean loss there, from the safest (least loss, which is the dearest) to the cheapest. The
// test split alone gives the p-values. Testing goes on until a hypothesis "the risk exceeds alpha"
// is not rejected at level delta; all settings rejected before it are certified together: with
// probability at least 1 - delta over the draw of the test units, every certified setting has risk
// <= alpha. The loss is bounded by [0, 1]; nothing else is assumed of it, least of all that it
// falls with the cost.
#pragma once

#include <string>
#include <vector>

#include "lib/policy/runs.h"

namespace suffice::calibrate {

enum class PValueKind { kBinomial, kHoeffdingBentkus };

struct Candidate {
  size_t column = 0;      // in Runs::columns
  double cost = 0;        // mean, order split
  double order_loss = 0;  // mean, order split
  double test_loss = 0;   // mean, test split
  double p_value = 1;
  bool certified = false;
};

struct Certification {
  PValueKind kind = PValueKind::kBinomial;
  size_t order_units = 0, test_units = 0;
  std::vector<Candidate> sequence;  // in the order of testing
  // The cheapest certified candidate; nothing if none.
  const Candidate* chosen() const;
};

// Columns of the reference itself (dense) are not tested: they need no certificate.
Certification Certify(const Runs& runs, const std::string& loss, double alpha, double delta,
                      PValueKind kind);

// Indices of the columns that no other beats in both; ties in both keep the first.
std::vector<size_t> ParetoSet(const std::vector<double>& cost, const std::vector<double>& loss);

}  // namespace suffice::calibrate
