// SPDX-License-Identifier: Apache-2.0
#include "lib/calibrate/risk_control.h"

#include <algorithm>
#include <cmath>

#include "lib/base/error.h"
#include "lib/stats/inference.h"

namespace suffice::calibrate {
namespace {

std::vector<double> Pick(const std::vector<double>& values, const std::vector<size_t>& indices) {
  std::vector<double> picked;
  for (const size_t i : indices) picked.push_back(values[i]);
  return picked;
}

double PValue(const std::vector<double>& losses, double alpha, PValueKind kind) {
  const auto n = static_cast<int64_t>(losses.size());
  if (kind == PValueKind::kHoeffdingBentkus) return HoeffdingBentkusPValue(n, Mean(losses), alpha);
  return BinomialPValue(n, std::count(losses.begin(), losses.end(), 1.0), alpha);
}

}  // namespace

std::vector<size_t> ParetoSet(const std::vector<double>& cost, const std::vector<double>& loss) {
  std::vector<size_t> set;
  for (size_t i = 0; i < cost.size(); ++i) {
    bool beaten = false;
    for (size_t j = 0; j < cost.size() && !beaten; ++j) {
      const bool no_worse = cost[j] <= cost[i] && loss[j] <= loss[i];
      const bool better = cost[j] < cost[i] || loss[j] < loss[i];
      beaten = j != i && no_worse && (better || j < i);
    }
    if (!beaten) set.push_back(i);
  }
  return set;
}

const Candidate* Certification::chosen() const {
  const Candidate* best = nullptr;
  for (const Candidate& candidate : sequence) {
    if (candidate.certified && (best == nullptr || candidate.cost < best->cost)) best = &candidate;
  }
  return best;
}

Certification Certify(const Runs& runs, const std::string& loss, double alpha, double delta,
                      PValueKind kind) {
  const std::vector<size_t> order = runs.Split(false);
  const std::vector<size_t> test = runs.Split(true);
  Certification result{kind, order.size(), test.size(), {}};
  std::vector<double> cost, order_loss;
  std::vector<size_t> columns;
  for (size_t s = 0; s < runs.columns.size(); ++s) {
    const RunsColumn& column = runs.columns[s];
    if (column.setting.dense()) continue;
    columns.push_back(s);
    cost.push_back(Mean(Pick(column.cost, order)));
    order_loss.push_back(Mean(Pick(column.losses.at(loss), order)));
  }
  if (order.empty() || test.empty()) return result;
  for (const size_t i : ParetoSet(cost, order_loss)) {
    const std::vector<double> losses = Pick(runs.columns[columns[i]].losses.at(loss), test);
    result.sequence.push_back(
        {columns[i], cost[i], order_loss[i], Mean(losses), PValue(losses, alpha, kind), false});
  }
  std::sort(result.sequence.begin(), result.sequence.end(),
            [](const Candidate& a, const Candidate& b) {
              return a.order_loss != b.order_loss ? a.order_loss < b.order_loss : a.cost > b.cost;
            });
  std::vector<double> p_values;
  for (const Candidate& candidate : result.sequence) p_values.push_back(candidate.p_value);
  const size_t rejected = FixedSequence(p_values, delta);
  for (size_t i = 0; i < rejected; ++i) result.sequence[i].certified = true;
  return result;
}

}  // namespace suffice::calibrate
