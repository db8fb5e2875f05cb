// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "lib/base/error.h"
#include "lib/distill/verbs.h"
#include "lib/model/classifier_file.h"

namespace suffice::distill {
namespace {

using Json = nlohmann::ordered_json;

// All datasets as one. Footage that is in two of them might be held out in one and trained on in
// the other: refused.
ClipDataset ReadAll(RunScope& scope) {
  std::vector<std::string> classes;
  std::vector<ClipSource> sources;
  std::set<std::string> footage;
  int64_t clip_frames = 0;
  for (const std::string& path : scope.DistinctInputs("data")) {
    scope.progress().Activity("reading " + path);
    const ClipDataset data = ClipDataset::Read(path);
    if (sources.empty()) {
      classes = data.classes();
      clip_frames = data.clip_frames();
    }
    if (data.classes() != classes) {
      throw UsageError("{}: other classes than {}", path, scope.Inputs("data").front());
    }
    clip_frames = std::min(clip_frames, data.clip_frames());
    std::set<std::string> own;
    for (const ClipSource& source : data.sources()) {
      if (footage.contains(source.sha256)) {
        throw UsageError("{}: source '{}': in another dataset too, with splits of its own", path,
                         source.name);
      }
      if (!source.sha256.empty()) own.insert(source.sha256);
      sources.push_back(source);
    }
    footage.merge(own);
  }
  return {std::move(classes), std::move(sources), clip_frames};
}

ClassifierInfo MakeInfo(const ClassifyConfig& config, const ClipDataset& data) {
  ClassifierInfo info;
  info.resolution = {config.frames, config.height, config.width};
  info.classes = data.classes();
  VideoDitConfig& a = info.architecture;
  a.patch = config.model.patch;
  a.width = config.model.width;
  a.depth = config.model.depth;
  a.heads = config.model.heads;
  a.mlp_ratio = config.model.mlp_ratio;
  a.time_features = 2;  // the time never changes
  CheckConfig(a, "model");
  CheckResolution(info.resolution, a);
  return info;
}

// Every class must be in what is trained on.
void RequireClasses(const ClipDataset& data, const ClipShape& shape, const std::string& path) {
  std::vector<bool> seen(data.classes().size());
  for (const ClipSource& source : data.sources()) {
    if (source.train.size() >= shape.frames) seen[static_cast<size_t>(source.label)] = true;
  }
  if (seen.size() < 2)
    throw UsageError("{}: {} classes, at least two are wanted", path, seen.size());
  const auto missing = std::find(seen.begin(), seen.end(), false);
  if (missing != seen.end()) {
    throw UsageError("{}: class '{}': no training range holds {} frames", path,
                     data.classes()[static_cast<size_t>(missing - seen.begin())], shape.frames);
  }
}

std::string Population(RunScope& scope, const ClassifierInfo& info) {
  std::string digests;
  for (const std::string& path : scope.Inputs("data")) {
    digests += (digests.empty() ? "" : ", ") + scope.DigestOf(path).substr(0, 16);
  }
  return fmt::format(
      "independent draws of (source and start frame, crop) from the held-out part of dataset {}, "
      "clips of {} frames of {}x{}; draws may share frames",
      digests, info.resolution[0], info.resolution[2], info.resolution[1]);
}

// Counts what is right over held-out draws; returns the share of their most frequent class, which
// is what a constant answer would get.
double MeasureAccuracy(RunScope& scope, VideoClassifier& classifier, const HeldOutUnits& units,
                       int64_t draws, const std::function<void()>& stop, ClassifierInfo* info) {
  std::vector<int64_t> of_class(info->classes.size());
  for (int64_t i = 0; i < draws; ++i) {
    if (scope.StopRequested()) stop();
    const FlowUnit unit = units[static_cast<uint64_t>(i)];
    const int64_t found = classifier.Judge(unit.x0).front().Label();
    info->correct += found == unit.clip.label ? 1 : 0;
    info->draws = i + 1;
    ++of_class[static_cast<size_t>(unit.clip.label)];
    scope.progress().Step(i + 1, draws,
                          fmt::format("evaluating: held-out clip {}/{}, accuracy {:.4f}", i + 1,
                                      draws, info->accuracy()));
  }
  return static_cast<double>(*std::max_element(of_class.begin(), of_class.end())) /
         static_cast<double>(draws);
}

}  // namespace

Report Classify(const ClassifyConfig& config, RunScope& scope) {
  const ClassifierTrainConfig& train = config.train;
  TrainConfig loop;  // what the loop reads of it
  loop.steps = train.steps;
  loop.batch = train.batch;
  loop.micro_batch = train.micro_batch;
  // Once clips are learnt their loss is near zero, and any other is many times that.
  loop.stop_factor = 0;
  loop.flips = train.flips;
  loop.optimizer = train.optimizer;
  CheckTrainConfig(loop);
  const std::string paths = fmt::format("{}", fmt::join(scope.Inputs("data"), ", "));
  const TrainingData training = TrainingData::Of(ReadAll(scope), paths);
  const ClipDataset& data = training.first();
  ClassifierInfo info = MakeInfo(config, data);
  ModelInfo clips;  // what is drawn: its resolution, and that there are labels
  clips.resolution = info.resolution;
  training.RequireShape(ClipShapeOf(clips), true);
  RequireClasses(data, ClipShapeOf(clips), paths);
  info.population = Population(scope, info);
  const HeldOutUnits units(scope.context(), data, clips, scope.seed());
  clips.architecture.classes = static_cast<int64_t>(info.classes.size());

  VideoClassifier classifier(scope.context(), info, ParseDType(train.compute));
  ParameterSet& parameters = classifier.trunk().parameters();
  parameters.Initialize(scope.seed());
  ClassTrainer trainer(classifier, ToTrainerConfig(loop), scope.seed());
  const std::optional<TensorReader> checkpoint = scope.OpenCheckpoint();
  const VideoDit::Flops forward = classifier.trunk().ForwardFlops(clips.ClipShape(1));
  const int64_t done =
      checkpoint ? checkpoint->IntAttribute("/state", "steps-done").value_or(0) : 0;
  Plan plan{.what =
                fmt::format("classify: {:.3f} M parameters on {} sources of {} classes, {} "
                            "steps of {} clips",
                            static_cast<double>(parameters.elements()) * 1e-6,
                            data.sources().size(), info.classes.size(), train.steps, train.batch)};
  plan.details.push_back(fmt::format("{} tokens a clip ({} frames of {}x{}), {} features",
                                     classifier.trunk().GeometryOf(clips.ClipShape(1)).tokens,
                                     info.resolution[0], info.resolution[2], info.resolution[1],
                                     classifier.feature_count()));
  plan.flops = static_cast<double>((train.steps - done) * train.batch) *
                   (3 * forward.linear + 3.5 * forward.attention) +
               static_cast<double>(train.held_out_draws) * (forward.linear + forward.attention);
  if (!scope.Begin(plan)) return {};

  const std::vector<LossPoint> curve =
      Train(scope, trainer, clips, training, loop, checkpoint ? &*checkpoint : nullptr);
  const std::vector<NamedArray> weights = trainer.UseTrained();
  const double largest = MeasureAccuracy(
      scope, classifier, units, train.held_out_draws, [&] { SaveTraining(scope, trainer, curve); },
      &info);

  TensorWriter writer = scope.NewFile(EncodingType::kClassifier);
  WriteClassifier(&writer, info, weights);
  writer.Attribute("/training", "steps", trainer.steps());
  scope.Commit(std::move(writer));
  WriteCurve(scope, curve);
  const Interval interval = info.accuracy_interval();
  const std::string text =
      fmt::format("{:.4f} [{:.4f}, {:.4f}]", info.accuracy(), interval.low, interval.high);
  const Json json = {{"output", scope.Output()},    {"steps", trainer.steps()},
                     {"accuracy", info.accuracy()}, {"interval", {interval.low, interval.high}},
                     {"draws", info.draws},         {"correct", info.correct},
                     {"largest_class", largest},    {"population", info.population}};
  return {.text = fmt::format(
              "{}: {} steps, held-out accuracy {} (95 %, {} draws; the most frequent class has "
              "{:.4f})\n",
              scope.Output(), trainer.steps(), text, info.draws, largest),
          .json = json.dump() + "\n",
          .facts = {{"held-out accuracy", text}, {"steps", std::to_string(trainer.steps())}}};
}

}  // namespace suffice::distill
