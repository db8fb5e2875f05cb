// SPDX-License-Identifier: Apache-2.0
#include <nlohmann/json.hpp>

#include "lib/base/error.h"
#include "lib/calibrate/risk_control.h"
#include "lib/calibrate/verbs.h"
#include "lib/config/yaml.h"
#include "lib/policy/runs.h"
#include "lib/policy/selection.h"
#include "lib/stats/inference.h"

namespace suffice::calibrate {
namespace {

using Json = nlohmann::ordered_json;

PValueKind ChooseKind(const SelectConfig& config, const Runs& runs, const std::string& path) {
  const bool binary = IsBinary(runs, config.loss);
  if (config.p_value == "binomial" && !binary) {
    throw UsageError("{}: loss '{}' is not 0 or 1 everywhere; p_value binomial needs that", path,
                     config.loss);
  }
  if (config.p_value == "hoeffding_bentkus") return PValueKind::kHoeffdingBentkus;
  return binary ? PValueKind::kBinomial : PValueKind::kHoeffdingBentkus;
}

void RequireLoss(const Runs& runs, const std::string& loss, const std::string& path) {
  std::string known;
  for (const auto& [name, unused] : runs.columns.front().losses)
    known += (known.empty() ? "" : ", ") + name;
  if (!runs.columns.front().losses.contains(loss)) {
    throw UsageError("{}: no loss '{}', it has {}", path, loss, known.empty() ? "none" : known);
  }
}

Selection ToSelection(const Runs& runs, const SelectConfig& config, const Certification& c,
                      const std::string& digest) {
  Selection selection;
  selection.runs = digest;
  selection.population = runs.population;
  selection.loss = config.loss;
  selection.p_value = c.kind == PValueKind::kBinomial ? "binomial" : "hoeffding_bentkus";
  selection.alpha = config.alpha;
  selection.delta = config.delta;
  selection.n = static_cast<int64_t>(c.test_units);
  for (const Candidate& candidate : c.sequence) {
    const RunsColumn& column = runs.columns[candidate.column];
    selection.evidence.push_back({column.model, column.setting.name, candidate.cost,
                                  candidate.test_loss, candidate.p_value, candidate.certified});
  }
  double dense_cost = 0;
  for (const RunsColumn& column : runs.columns) {
    if (column.setting.dense()) dense_cost = Mean(column.cost);
  }
  if (const Candidate* chosen = c.chosen()) {
    const RunsColumn& column = runs.columns[chosen->column];
    selection.rungs.push_back({column.model, column.setting, chosen->cost, true});
    selection.guarantee = fmt::format(
        "With probability at least {:.4g} over the draw of the {} test units, the mean of loss "
        "'{}' of setting "
        "'{}' on the population is at most {:.4g}. The population: {}. It says nothing of anything "
        "else.",
        1 - config.delta, c.test_units, config.loss, column.setting.name, config.alpha,
        runs.population);
  }
  selection.rungs.push_back({runs.reference, DenseSetting(), dense_cost, false});
  return selection;
}

std::string ToText(const Runs& runs, const Selection& selection, const Certification& c) {
  std::string text = fmt::format("{:<20} {:>12} {:>12} {:>12}  {}\n", "setting", "cost",
                                 "mean loss", "p-value", "verdict");
  for (const Evidence& e : selection.evidence) {
    text += fmt::format("{:<20} {:>12.5g} {:>12.4g} {:>12.4g}  {}\n", e.setting, e.cost,
                        e.mean_loss, e.p_value, e.certified ? "certified" : "not certified");
  }
  text += fmt::format("order split {} units, test split {} units, cost in {}\n", c.order_units,
                      c.test_units, runs.cost_unit);
  return text + (selection.guarantee.empty()
                     ? "nothing certified: the dense model is the only rung\n"
                     : selection.guarantee + "\n");
}

}  // namespace

Report Select(const SelectConfig& config, RunScope& scope) {
  const std::string& path = scope.Input("runs");
  Plan plan{.what = fmt::format("certify risk <= {:.4g} with confidence {:.4g} for loss '{}'",
                                config.alpha, 1 - config.delta, config.loss)};
  std::string sizes;
  for (int64_t failures = 0; failures < 4; ++failures) {
    sizes += fmt::format("{}{} with {}", failures == 0 ? "" : ", ",
                         UnitsToCertify(config.alpha, config.delta, failures), failures);
  }
  plan.details.push_back("test units needed, by the number of failures: " + sizes);
  const Runs runs = ReadRuns(TensorReader(path, EncodingType::kRuns));
  RequireLoss(runs, config.loss, path);
  const PValueKind kind = ChooseKind(config, runs, path);
  plan.details.push_back(fmt::format("{} settings, {} order and {} test units", runs.columns.size(),
                                     runs.Split(false).size(), runs.Split(true).size()));
  if (!scope.Begin(plan)) return {};

  const Certification certification = Certify(runs, config.loss, config.alpha, config.delta, kind);
  Selection selection = ToSelection(runs, config, certification, scope.DigestOf(path));
  const std::string yaml = DumpYaml(FieldsOf(selection));
  scope.WriteText(scope.Output(), yaml);
  const bool certified = certification.chosen() != nullptr;
  const std::string rung = selection.rungs.front().setting.name;
  Json json = {{"certified", certified},
               {"rung", rung},
               {"guarantee", selection.guarantee},
               {"evidence", Json::array()}};
  for (const Evidence& e : selection.evidence) {
    json["evidence"].push_back({{"setting", e.setting},
                                {"model", e.model},
                                {"cost", e.cost},
                                {"mean_loss", e.mean_loss},
                                {"p_value", e.p_value},
                                {"certified", e.certified}});
  }
  return {.text = ToText(runs, selection, certification),
          .json = json.dump() + "\n",
          .facts = {{"rung", rung}, {"certified", certified ? "yes" : "no"}},
          .code = certified ? ExitCode::kDone : ExitCode::kCheckFailed};
}

Report Frontier(const FrontierConfig& config, RunScope& scope) {
  const std::string& path = scope.Input("runs");
  const Runs runs = ReadRuns(TensorReader(path, EncodingType::kRuns));
  RequireLoss(runs, config.loss, path);
  if (!scope.Begin({.what = fmt::format("frontier of {} settings over {} units",
                                        runs.columns.size(), runs.units.size())})) {
    return {};
  }
  std::vector<double> cost, loss;
  for (const RunsColumn& column : runs.columns) {
    cost.push_back(Mean(column.cost));
    loss.push_back(Mean(column.losses.at(config.loss)));
  }
  const std::vector<size_t> front = ParetoSet(cost, loss);
  std::string tsv = "setting\tmodel\tdensity\tcost\tloss\tloss_low\tloss_high\tseconds\tfrontier\n";
  std::string text = fmt::format("{:<20} {:>8} {:>12} {:>30}  {}\n", "setting", "density", "cost",
                                 config.loss, "frontier");
  Json json = Json::array();
  for (size_t s = 0; s < runs.columns.size(); ++s) {
    const RunsColumn& column = runs.columns[s];
    const bool on = std::find(front.begin(), front.end(), s) != front.end();
    const Interval interval = MeanLoss(runs, column, config.loss, config.confidence).interval;
    const double seconds = Mean(column.seconds);
    tsv += fmt::format("{}\t{}\t{:.6g}\t{:.6g}\t{:.6g}\t{:.6g}\t{:.6g}\t{:.6g}\t{}\n",
                       column.setting.name, column.model, column.density, cost[s], loss[s],
                       interval.low, interval.high, seconds, on ? 1 : 0);
    text += fmt::format(
        "{:<20} {:>8.4f} {:>12.5g} {:>30}  {}\n", column.setting.name, column.density, cost[s],
        fmt::format("{:.4g} [{:.4g}, {:.4g}]", loss[s], interval.low, interval.high),
        on ? "*" : "");
    json.push_back({{"setting", column.setting.name},
                    {"model", column.model},
                    {"density", column.density},
                    {"cost", cost[s]},
                    {"loss", loss[s]},
                    {"interval", {interval.low, interval.high}},
                    {"seconds", seconds},
                    {"frontier", on}});
  }
  if (scope.Has("output")) scope.WriteText(scope.Output(), tsv);
  return {.text = text,
          .json = json.dump() + "\n",
          .facts = {{"settings", std::to_string(runs.columns.size())},
                    {"on the frontier", std::to_string(front.size())}}};
}

}  // namespace suffice::calibrate
