// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "lib/base/error.h"
#include "lib/config/yaml.h"
#include "lib/generate/choice.h"
#include "lib/generate/verbs.h"
#include "lib/model/held_out.h"
#include "lib/model/model_config.h"
#include "lib/policy/runs.h"
#include "lib/stats/inference.h"

namespace suffice::generate {
namespace {

using Json = nlohmann::ordered_json;

// Velocities are compared pixel by pixel, so that only the order of the tokens may differ.
void RequireComparable(const Choice& model, const Choice& reference) {
  const auto text = [](ModelInfo info) {
    info.architecture.token_order = VideoDitConfig{}.token_order;
    info.architecture.tile = VideoDitConfig{}.tile;
    return DumpYaml(FieldsOf(info.architecture));
  };
  const std::string &path = model.file.path(), &other = reference.file.path();
  if (reference.info.contract)
    throw UsageError("{}: a sparse model; the reference is dense", other);
  if (text(model.info) != text(reference.info))
    throw UsageError("{}: another architecture than {}", other, path);
  if (model.info.resolution != reference.info.resolution ||
      model.info.classes != reference.info.classes) {
    throw UsageError("{}: another resolution or other classes than {}", other, path);
  }
}

std::vector<Setting> SettingsToRun(const EvaluateConfig& config, const ModelInfo& info) {
  if (!config.settings.empty()) return config.settings;
  return info.contract ? info.contract->settings : std::vector<Setting>{};
}

struct Measurement {
  double error = 0, gflop = 0, seconds = 0;
};

class Evaluation {
 public:
  Evaluation(Context& context, const EvaluateConfig& config, const Choice& model,
             const Choice& reference, const std::string& digest,
             const std::string& reference_digest)
      : epsilon_(config.epsilon),
        block_(model.block()),
        sparse_(Load(context, model, config.compute)),
        dense_(Load(context, reference, config.compute)),
        forward_(sparse_->ForwardFlops(model.info.ClipShape(1))) {
    for (const Setting& setting : SettingsToRun(config, model.info)) {
      runs.columns.push_back(MakeColumn(digest, setting));
    }
    runs.columns.push_back(MakeColumn(reference_digest, DenseSetting()));
    runs.reference = reference_digest;
    pairs_.resize(runs.columns.size());
    std::set<std::string> seen;
    for (const RunsColumn& column : runs.columns) {
      if (!seen.insert(column.model + column.setting.Canonical()).second)
        throw UsageError("setting '{}': the same as another one or as the reference",
                         column.setting.name);
    }
  }

  double DenseFlops() const { return forward_.linear + forward_.attention; }
  double FlopsOf(const Setting& setting) const {
    return forward_.linear + ExpectedDensity(setting) * forward_.attention;
  }

  // What the first passes allocate is not part of what later ones take.
  void WarmUp(const FlowUnit& unit) {
    VelocityAt(*dense_, unit, DenseSetting(), block_);
    for (const RunsColumn& column : runs.columns)
      VelocityAt(*sparse_, unit, column.setting, block_);
  }

  void Measure(const FlowUnit& unit, const ClipDataset& data) {
    const ClipSource& source = data.sources().at(static_cast<size_t>(unit.clip.source));
    runs.units.push_back({unit.id, unit.clip.source,
                          unit.clip.start - static_cast<int32_t>(source.held_out.begin), unit.t});
    const size_t last = runs.columns.size() - 1;
    PairCount pairs;
    double seconds = 0;
    const Tensor wanted = VelocityAt(*dense_, unit, DenseSetting(), block_, &pairs, &seconds);
    runs.energy.push_back(CompareSquares(wanted, wanted).reference);
    for (size_t s = 0; s < last; ++s) {
      PairCount kept;
      double took = 0;
      const Tensor found =
          VelocityAt(*sparse_, unit, runs.columns[s].setting, block_, &kept, &took);
      const SquareError squares = CompareSquares(found, wanted);
      runs.columns[s].difference.push_back(squares.difference);
      Add(s, ErrorOf(squares, runs.columns[s].setting.name, unit.id), kept, took);
    }
    runs.columns[last].difference.push_back(0);
    Add(last, 0, pairs, seconds);
  }

  // Of the units that are done: what a checkpoint has beside the runs.
  std::vector<int64_t> Pairs() const {
    std::vector<int64_t> list;
    for (const PairCount& p : pairs_) list.insert(list.end(), {p.kept, p.allowed});
    return list;
  }

  void Restore(const TensorReader& checkpoint) {
    Runs old = ReadRuns(checkpoint);
    const auto list = checkpoint.IntListAttribute("/state", "pairs");
    if (old.columns.size() != runs.columns.size() || !list || list->size() != 2 * pairs_.size())
      throw DataError("{}: its settings are not those of this run", checkpoint.path());
    for (size_t s = 0; s < pairs_.size(); ++s) pairs_[s] = {(*list)[2 * s], (*list)[2 * s + 1]};
    old.population = runs.population;
    runs = std::move(old);
  }

  Runs runs;

 private:
  static RunsColumn MakeColumn(const std::string& model, const Setting& setting) {
    RunsColumn column;
    column.model = model;
    column.setting = setting;
    column.losses = {{"error", {}}, {"failure", {}}};
    return column;
  }

  static double ErrorOf(const SquareError& squares, const std::string& name, uint64_t id) {
    if (!std::isfinite(squares.difference) || !std::isfinite(squares.reference))
      throw RunError("setting '{}', unit {}: the velocity is not a number", name, id);
    if (squares.reference == 0) return squares.difference == 0 ? 0 : 1;
    return std::min(1.0, squares.difference / squares.reference);
  }

  void Add(size_t s, double error, const PairCount& kept, double seconds) {
    RunsColumn& column = runs.columns[s];
    column.losses["error"].push_back(error);
    column.losses["failure"].push_back(error > epsilon_ ? 1 : 0);
    const auto head_dim = static_cast<double>(sparse_->config().head_dim());
    column.cost.push_back((forward_.linear + 4 * head_dim * static_cast<double>(kept.kept)) * 1e-9);
    column.seconds.push_back(seconds);
    pairs_[s] += kept;
    column.density = pairs_[s].density();
  }

  double epsilon_;
  BlockSize block_;
  std::unique_ptr<VideoDit> sparse_, dense_;
  VideoDit::Flops forward_;
  std::vector<PairCount> pairs_;  // by column
};

std::string Table(const Runs& runs, uint64_t seed) {
  std::string text =
      fmt::format("{:<24} {:>8} {:<28} {:>10} {:>9} {:>11} {:>11}\n", "setting", "density",
                  "e [95 %]", "mean error", "failures", "GFLOP", "seconds");
  for (const RunsColumn& c : runs.columns) {
    const auto e = RelativeErrorOf(runs, c, seed);
    text += fmt::format("{:<24} {:>8.4f} {:<28} {:>10.5f} {:>9.4f} {:>11.5g} {:>11.4g}\n",
                        c.setting.name, c.density, e ? ToText(*e) : "-", Mean(c.losses.at("error")),
                        Mean(c.losses.at("failure")), Mean(c.cost), Mean(c.seconds));
  }
  return text;
}

Json ToJson(const Runs& runs, uint64_t seed) {
  Json list = Json::array();
  for (const RunsColumn& c : runs.columns) {
    const auto e = RelativeErrorOf(runs, c, seed);
    list.push_back({{"setting", c.setting.name},
                    {"model", c.model},
                    {"density", c.density},
                    {"e", e ? Json(e->value) : Json()},
                    {"interval", e ? Json({e->interval.low, e->interval.high}) : Json()},
                    {"error", Mean(c.losses.at("error"))},
                    {"failure", Mean(c.losses.at("failure"))},
                    {"gflop", Mean(c.cost)},
                    {"seconds", Mean(c.seconds)}});
  }
  return list;
}

}  // namespace

Report Evaluate(const EvaluateConfig& config, RunScope& scope) {
  const std::string &path = scope.Input("model"), &reference_path = scope.Input("reference"),
                    &data_path = scope.Input("data");
  const auto open = [](const std::string& name) {
    TensorReader file(name, EncodingType::kModel);
    ModelInfo info = ReadModelInfo(file);
    return Choice{std::move(file), std::move(info), DenseSetting()};
  };
  const Choice model = open(path), reference = open(reference_path);
  RequireComparable(model, reference);
  const VideoDitConfig& a = model.info.architecture;
  CheckSettings(SettingsToRun(config, model.info), a.depth, a.heads, "config");
  scope.progress().Activity("reading " + data_path);
  const ClipDataset data = ClipDataset::Read(data_path);
  RequireClips(model, data, data_path);
  Evaluation evaluation(scope.context(), config, model, reference, scope.DigestOf(path),
                        scope.DigestOf(reference_path));
  const HeldOutUnits units(scope.context(), data, model.info, scope.seed());
  evaluation.runs.population = units.Population(scope.DigestOf(data_path));
  const ShardPart part = scope.TakePart(config.units, "units");
  if (const auto checkpoint = scope.OpenCheckpoint()) evaluation.Restore(*checkpoint);

  const size_t settings = evaluation.runs.columns.size() - 1;
  Plan plan{.what = fmt::format("evaluate {} settings of {} against {} on {} held-out units",
                                settings, path, reference_path, config.units)};
  double each = evaluation.DenseFlops();
  for (size_t s = 0; s < settings; ++s)
    each += evaluation.FlopsOf(evaluation.runs.columns[s].setting);
  const auto total = static_cast<size_t>(part.items());
  const auto next = [&] {
    return static_cast<uint64_t>(part.begin) + evaluation.runs.units.size();
  };
  plan.flops = each * static_cast<double>(total - std::min(total, evaluation.runs.units.size()));
  plan.details.push_back(fmt::format(
      "error: min(1, |u - u_dense|^2 / |u_dense|^2); failure: error above {}", config.epsilon));
  if (!scope.Begin(plan)) return {};

  Runs& runs = evaluation.runs;
  if (runs.units.size() < total) evaluation.WarmUp(units[next()]);
  while (runs.units.size() < total) {
    if (!runs.units.empty() && scope.CheckpointDue()) {
      scope.SaveCheckpoint([&](TensorWriter& writer) {
        WriteRuns(runs, &writer);
        writer.Attribute("/state", "pairs", evaluation.Pairs());
      });
    }
    evaluation.Measure(units[next()], data);
    const RunsColumn& first = runs.columns.front();
    scope.progress().Step(
        static_cast<int64_t>(runs.units.size()), part.items(),
        fmt::format("unit {}/{}: '{}' density {:.4f}, mean error {:.5f}", next(), part.total,
                    first.setting.name, first.density, Mean(first.losses.at("error"))));
  }
  if (std::none_of(runs.energy.begin(), runs.energy.end(), [](double x) { return x > 0; })) {
    throw DataError("{}: its velocity is zero at every unit, and no error can be related to it",
                    reference_path);
  }
  TensorWriter writer = scope.NewFile(EncodingType::kRuns);
  WriteRuns(runs, &writer);
  writer.Attribute("/", "epsilon", config.epsilon);
  if (scope.sharded()) writer.Attribute("/", "shard-pairs", evaluation.Pairs());
  scope.Commit(std::move(writer));
  const Json json = {{"output", scope.Output()},
                     {"units", part.items()},
                     {"settings", ToJson(runs, scope.seed())}};
  return {
      .text = Table(runs, scope.seed()),
      .json = json.dump() + "\n",
      .facts = {{"units", std::to_string(part.items())}, {"settings", std::to_string(settings)}}};
}

}  // namespace suffice::generate
