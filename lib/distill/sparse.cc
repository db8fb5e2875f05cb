// SPDX-License-Identifier: Apache-2.0
#include <nlohmann/json.hpp>

#include "lib/base/error.h"
#include "lib/config/yaml.h"
#include "lib/distill/verbs.h"
#include "lib/model/model_config.h"
#include "lib/policy/selection.h"

namespace suffice::distill {
namespace {

using Json = nlohmann::ordered_json;

// The teacher in the student's token order: what a contract changes of the architecture, and what
// changes nothing of a dense model. Both then name the same token by the same number.
ModelInfo InOrderOf(const ModelInfo& student, ModelInfo teacher) {
  teacher.architecture.token_order = student.architecture.token_order;
  teacher.architecture.tile = student.architecture.tile;
  return teacher;
}

void RequireSame(const ModelInfo& student, const ModelInfo& teacher,
                 const std::string& student_path, const std::string& teacher_path) {
  ModelInfo a = student, b = teacher;
  if (DumpYaml(FieldsOf(a.architecture)) != DumpYaml(FieldsOf(b.architecture)) ||
      a.resolution != b.resolution) {
    throw UsageError("{}: another architecture or resolution than {}", teacher_path, student_path);
  }
  if (teacher.contract) throw UsageError("{}: a sparse model; the teacher is dense", teacher_path);
}

Json ErrorJson(const RelativeError& e) {
  return {{"e", e.value}, {"interval", {e.interval.low, e.interval.high}}};
}

std::string ErrorText(const RelativeError& e) {
  return fmt::format("{:.5f} [{:.5f}, {:.5f}]", e.value, e.interval.low, e.interval.high);
}

// The setting to train for: one of the contract, or what a selection made for this very file names.
Setting ChooseSetting(const SparseConfig& config, RunScope& scope, const ModelInfo& info) {
  const std::string& path = scope.Input("model");
  if (!scope.Has("selection")) return SettingOfContract(info, config.setting, path);
  const Selection selection = ReadSelection(scope.Input("selection"));
  for (const Rung& rung : selection.rungs) {
    if (rung.model == scope.DigestOf(path)) return rung.setting;
  }
  throw UsageError("{}: names no rung for {} ({})", scope.Input("selection"), path,
                   scope.DigestOf(path).substr(0, 16));
}

}  // namespace

Report Sparse(const SparseConfig& config, RunScope& scope) {
  CheckTrainConfig(config.train);
  const std::string &student_path = scope.Input("model"), &teacher_path = scope.Input("teacher"),
                    &data_path = scope.Input("data");
  scope.progress().Activity("reading " + student_path);
  const TensorReader student_file(student_path, EncodingType::kModel),
      teacher_file(teacher_path, EncodingType::kModel);
  const ModelInfo info = ReadModelInfo(student_file),
                  teacher_info = InOrderOf(info, ReadModelInfo(teacher_file));
  if (!info.contract)
    throw UsageError("{}: has no contract; sparsify model attaches one", student_path);
  RequireSame(info, teacher_info, student_path, teacher_path);
  const Setting setting = ChooseSetting(config, scope, info);
  const ClipDataset data = ClipDataset::Read(data_path);
  data.RequireShape(ClipShapeOf(info), false, data_path);
  data.RequireShape(ClipShapeOf(info), true, data_path);
  if (info.architecture.classes > 0 && info.classes != data.classes()) {
    throw UsageError("{}: its classes are not those of {}", data_path, student_path);
  }

  Context& context = scope.context();
  const DType compute = ParseDType(config.train.compute);
  const std::unique_ptr<VideoDit> student = LoadModel(context, student_file, info, compute);
  const std::unique_ptr<VideoDit> teacher = LoadModel(context, teacher_file, teacher_info, compute);
  const bool velocity = config.loss == "velocity";
  const BlockSize block = info.block();
  FlowTrainer trainer(*student, ToTrainerConfig(config.train), scope.seed(),
                      velocity ? teacher.get() : nullptr, &setting, block);
  const std::optional<TensorReader> checkpoint = scope.OpenCheckpoint();
  const HeldOutUnits units(context, data, info, scope.seed());

  const VideoDit::Flops forward = student->ForwardFlops(info.ClipShape(1));
  const double dense = forward.linear + forward.attention;
  const double kept = setting.rule == "topp" ? setting.p.fraction() : setting.k.fraction();
  const double step =
      static_cast<double>(config.train.batch) *
      (3 * forward.linear + 3.5 * kept * forward.attention + (velocity ? dense : 0));
  Plan plan{.what = fmt::format("{} of setting '{}' for {} steps of {} clips",
                                velocity ? "velocity distillation" : "diffusion-loss tuning",
                                setting.name, config.train.steps, config.train.batch)};
  plan.details.push_back(fmt::format("rule {}, k {}, p {}, blocks {}x{}", setting.rule,
                                     ToString(setting.k), ToString(setting.p), block.q, block.k));
  plan.flops = step * static_cast<double>(config.train.steps) +
               4 * dense * static_cast<double>(config.train.held_out_draws);
  if (!scope.Begin(plan)) return {};

  const int64_t draws = config.train.held_out_draws;
  const RelativeError before =
      MeasureError(scope, *student, setting, block, *teacher, units, draws, "before training");
  const std::vector<LossPoint> curve =
      Train(scope, trainer, info, data, config.train, checkpoint ? &*checkpoint : nullptr, {});
  const std::vector<NamedArray> weights = trainer.optimizer().has_ema()
                                              ? trainer.optimizer().ExportEma()
                                              : student->parameters().Export();
  student->parameters().Import(weights, "weights");
  const RelativeError after =
      MeasureError(scope, *student, setting, block, *teacher, units, draws, "after training");
  const Interval gain =
      draws > 0 ? PairedInterval(before.difference, after.difference) : Interval{};
  const double scale = draws > 0 ? Mean(before.reference) : 1;

  TensorWriter writer = scope.NewFile(EncodingType::kModel);
  WriteModel(&writer, info, weights, ParseDType(config.train.stored));
  writer.Attribute("/training", "steps", trainer.steps());
  writer.Attribute("/training", "loss", config.loss);
  writer.Attribute("/training", "setting", setting.name);
  writer.Attribute("/training", "density", after.density);
  writer.Attribute("/training", "error-before",
                   std::vector<double>{before.value, before.interval.low, before.interval.high});
  writer.Attribute("/training", "error-after",
                   std::vector<double>{after.value, after.interval.low, after.interval.high});
  scope.Commit(std::move(writer));
  if (scope.Has("curve")) scope.WriteText(scope.Input("curve"), CurveTsv(curve));
  const Json json = {{"output", scope.Output()},
                     {"setting", setting.name},
                     {"density", after.density},
                     {"steps", trainer.steps()},
                     {"draws", draws},
                     {"before", ErrorJson(before)},
                     {"after", ErrorJson(after)},
                     {"paired_gain", {gain.low / scale, gain.high / scale}}};
  return {.text = fmt::format(
              "{}: setting '{}', density {:.4f}, {} steps of {} loss\n"
              "held-out e = sum|u_s - u_d|^2 / sum|u_d|^2 over {} draws: {} before, {} after\n"
              "paired gain (before - after) [{:.5f}, {:.5f}] (95 %)\n",
              scope.Output(), setting.name, after.density, trainer.steps(), config.loss, draws,
              ErrorText(before), ErrorText(after), gain.low / scale, gain.high / scale),
          .json = json.dump() + "\n",
          .facts = {{"density", fmt::format("{:.4f}", after.density)},
                    {"e before", ErrorText(before)},
                    {"e after", ErrorText(after)}}};
}

}  // namespace suffice::distill
