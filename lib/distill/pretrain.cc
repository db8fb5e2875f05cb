// SPDX-License-Identifier: Apache-2.0
#include <nlohmann/json.hpp>

#include "lib/base/error.h"
#include "lib/config/yaml.h"
#include "lib/distill/verbs.h"
#include "lib/model/model_config.h"

namespace suffice::distill {
namespace {

using Json = nlohmann::ordered_json;

// The architecture of the run: the config's, or that of the model it starts from. A config that was
// changed and says otherwise is an error: nothing of it would be used.
ModelInfo MakeInfo(const PretrainConfig& config, const TrainingData& data,
                   const TensorReader* init) {
  ModelInfo info;
  info.architecture = config.model;
  info.resolution = {config.frames, config.height, config.width};
  if (info.architecture.classes > 0) info.classes = data.classes();
  if (init == nullptr) {
    CheckConfig(info.architecture, "model");
  } else {
    const ModelInfo from = ReadModelInfo(*init);
    VideoDitConfig wanted = config.model, found = from.architecture, standard;
    const std::string text = DumpYaml(FieldsOf(wanted));
    if (text != DumpYaml(FieldsOf(found)) && text != DumpYaml(FieldsOf(standard))) {
      throw UsageError(
          "{}: its architecture is not the config's model; leave model out to take the file's",
          init->path());
    }
    info.architecture = from.architecture;
    info.classes = from.classes;
    if (from.contract)
      throw UsageError("{}: a sparse model; pretrain wants a dense one", init->path());
    data.RequireClasses(info, init->path());
  }
  const VideoDitConfig& a = info.architecture;
  if (a.in_channels != 3) throw UsageError("model.in_channels: {}, clips have 3", a.in_channels);
  if (a.classes > 0 && a.classes != static_cast<int64_t>(data.classes().size())) {
    throw UsageError("model.classes: {}, the dataset has {}", a.classes, data.classes().size());
  }
  CheckResolution(info.resolution, a);
  return info;
}

}  // namespace

Report Pretrain(const PretrainConfig& config, RunScope& scope) {
  CheckTrainConfig(config.train);
  scope.progress().Activity("reading " + scope.Input("data"));
  const TrainingData data = TrainingData::Read(scope.DistinctInputs("data"), config.train.mix);
  std::optional<TensorReader> init;
  if (scope.Has("init")) init.emplace(scope.Input("init"), EncodingType::kModel);
  const ModelInfo info = MakeInfo(config, data, init ? &*init : nullptr);
  data.RequireShape(ClipShapeOf(info), config.train.held_out_draws > 0);

  Context& context = scope.context();
  const DType compute = ParseDType(config.train.compute);
  std::unique_ptr<VideoDit> model;
  if (init) {
    model = LoadModel(context, *init, info, compute);
  } else {
    model = std::make_unique<VideoDit>(context, info.architecture, compute);
    model->parameters().Initialize(scope.seed());
  }
  FlowTrainer trainer(*model, ToTrainerConfig(config.train), scope.seed());
  const std::optional<TensorReader> checkpoint = scope.OpenCheckpoint();

  const VideoDit::Flops forward = model->ForwardFlops(info.ClipShape(1));
  const int64_t done =
      checkpoint ? checkpoint->IntAttribute("/state", "steps-done").value_or(0) : 0;
  const double step_flops =
      static_cast<double>(config.train.batch) * (3 * forward.linear + 3.5 * forward.attention);
  const TokenGeometry& geometry = model->GeometryOf(info.ClipShape(1));
  Plan plan{.what = fmt::format("pretrain {:.2f} M parameters on {} sources, {} steps of {} clips",
                                static_cast<double>(model->parameters().elements()) * 1e-6,
                                data.sources(), config.train.steps, config.train.batch)};
  plan.details.push_back(
      fmt::format("{} tokens a clip ({} frames of {}x{}), {} blocks of width {}, {} heads",
                  geometry.tokens, info.resolution[0], info.resolution[2], info.resolution[1],
                  info.architecture.depth, info.architecture.width, info.architecture.heads));
  plan.details.push_back("samples of " + data.Describe());
  plan.flops =
      step_flops * static_cast<double>(config.train.steps - done) +
      static_cast<double>(config.train.held_out_draws) * (forward.linear + forward.attention);
  if (!scope.Begin(plan)) return {};

  const std::vector<LossPoint> curve =
      Train(scope, trainer, info, data, config.train, checkpoint ? &*checkpoint : nullptr);
  const std::vector<NamedArray> weights = trainer.UseTrained();
  const HeldOutUnits units(context, data.first(), info, scope.seed());
  const int64_t draws = config.train.held_out_draws;
  const Estimate loss = MeasureLoss(scope, *model, DenseSetting(), {}, units, draws, "evaluating",
                                    [&] { SaveTraining(scope, trainer, curve); });

  TensorWriter writer = scope.NewFile(EncodingType::kModel);
  WriteModel(&writer, info, weights, ParseDType(config.train.stored));
  writer.Attribute("/training", "steps", trainer.steps());
  if (draws > 0) {
    writer.Attribute("/training", "held-out-loss",
                     std::vector<double>{loss.value, loss.interval.low, loss.interval.high});
  }
  scope.Commit(std::move(writer));
  WriteCurve(scope, curve);
  Json json = {{"output", scope.Output()}, {"steps", trainer.steps()}, {"draws", draws}};
  for (const char* measured : {"held_out_loss", "interval"}) json[measured] = {};
  std::map<std::string, std::string> facts = {{"steps", std::to_string(trainer.steps())}};
  std::string text = fmt::format("{}: {} steps, ", scope.Output(), trainer.steps());
  if (draws == 0) {
    text += "nothing held out was measured\n";
  } else {
    json["held_out_loss"] = loss.value;
    json["interval"] = {loss.interval.low, loss.interval.high};
    facts["held-out loss"] = ToText(loss);
    text += fmt::format("held-out flow-matching loss {} (95 %, {} draws)\n", ToText(loss), draws);
  }
  return {.text = std::move(text), .json = json.dump() + "\n", .facts = facts};
}

}  // namespace suffice::distill
