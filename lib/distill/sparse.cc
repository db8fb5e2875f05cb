// SPDX-License-Identifier: Apache-2.0
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "lib/base/error.h"
#include "lib/config/yaml.h"
#include "lib/distill/teacher_cache.h"
#include "lib/distill/verbs.h"
#include "lib/model/model_config.h"
#include "lib/model/setting_choice.h"

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

Json ToJson(const Estimate& e) {
  return {{"e", e.value}, {"interval", {e.interval.low, e.interval.high}}};
}

std::vector<double> ToList(const Estimate& e) { return {e.value, e.interval.low, e.interval.high}; }

// The loss of velocity distillation on the held-out draws, in the unit of the training's.
Estimate HeldOutLossOf(const HeldOutError& error, const ModelInfo& info) {
  std::vector<double> losses = error.difference;
  for (double& loss : losses) loss /= static_cast<double>(info.ClipShape(1).elements());
  return {Mean(losses), MeanInterval(losses)};
}

// What decides a sample of this run and its teacher's velocity.
TeacherRecipe RecipeOf(const SparseConfig& config, RunScope& scope, const ModelInfo& info) {
  const VideoDitConfig& a = info.architecture;
  TrainConfig train = config.train;
  TeacherRecipe recipe = {{"teacher", scope.DigestOf(scope.Input("teacher"))}};
  for (const std::string& path : scope.Inputs("data"))
    recipe.emplace_back("data", scope.DigestOf(path));
  const auto line = [](const auto& list) { return fmt::format("[{}]", fmt::join(list, ", ")); };
  recipe.emplace_back("weights", line(train.mix.weights));
  recipe.emplace_back("schedule", train.mix.schedule);
  if (train.mix.schedule == "alternate")
    recipe.emplace_back("batch", fmt::format("{}", train.batch));
  recipe.emplace_back("seed", fmt::format("{}", scope.seed()));
  recipe.emplace_back("flips", fmt::format("{}", train.flips));
  recipe.emplace_back("label_dropout", fmt::format("{}", train.label_dropout));
  recipe.emplace_back("time", fmt::format("{} {} {} {}", train.time.law, train.time.mean,
                                          train.time.deviation, train.time.shift));
  recipe.emplace_back("clip", line(info.resolution));
  recipe.emplace_back("token_order", a.token_order);
  if (a.token_order == "tiles") recipe.emplace_back("tile", line(a.tile));
  recipe.emplace_back("compute", train.compute);
  // A product may take another kernel for another number of rows, and so round otherwise.
  recipe.emplace_back("micro_batch", fmt::format("{}", train.micro_batch));
  recipe.emplace_back("backend", scope.context().Describe());
  return recipe;
}

// With --cache-teacher: what is there of the teacher's velocities, and the teacher for the rest.
std::unique_ptr<CachedTeacher> OpenCache(const SparseConfig& config, RunScope& scope,
                                         const ModelInfo& info, VideoDit& teacher) {
  if (!scope.Has("cache-teacher")) return nullptr;
  if (config.loss != "velocity")
    throw UsageError("--cache-teacher: of no use with --loss {}", config.loss);
  const std::string& folder = scope.Input("cache-teacher");
  if (std::filesystem::exists(folder) && !std::filesystem::is_directory(folder))
    throw UsageError("{}: is not a folder", folder);
  FileHeader header = scope.Header(EncodingType::kVelocities);
  std::erase_if(header.inputs, [](const auto& input) {
    return input.first != "teacher" && !input.first.starts_with("data");
  });
  header.config.clear();
  const VideoDitConfig& a = info.architecture;
  const int64_t tokens = teacher.GeometryOf(info.ClipShape(1)).tokens;
  return std::make_unique<CachedTeacher>(folder, RecipeOf(config, scope, info), header,
                                         std::make_unique<ModelTeacher>(teacher),
                                         Shape{tokens, a.patch_values()});
}

void MakeFolder(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) throw RunError("{}: cannot be made: {}", path, error.message());
}

}  // namespace

Report Sparse(const SparseConfig& config, RunScope& scope) {
  CheckTrainConfig(config.train);
  const std::string &student_path = scope.Input("model"), &teacher_path = scope.Input("teacher");
  scope.progress().Activity("reading " + student_path);
  const TensorReader student_file(student_path, EncodingType::kModel),
      teacher_file(teacher_path, EncodingType::kModel);
  const ModelInfo info = ReadModelInfo(student_file),
                  teacher_info = InOrderOf(info, ReadModelInfo(teacher_file));
  if (!info.contract)
    throw UsageError("{}: has no contract; sparsify model attaches one", student_path);
  RequireSame(info, teacher_info, student_path, teacher_path);
  const Setting setting =
      ChooseSetting(info, config.setting, student_path, scope.DigestOf(student_path),
                    scope.Has("selection") ? scope.Input("selection") : "");
  const TrainingData data = TrainingData::Read(scope.DistinctInputs("data"), config.train.mix);
  data.RequireShape(ClipShapeOf(info), config.train.held_out_draws > 0);
  data.RequireClasses(info, student_path);

  Context& context = scope.context();
  const DType compute = ParseDType(config.train.compute);
  const std::unique_ptr<VideoDit> student = LoadModel(context, student_file, info, compute);
  const std::unique_ptr<VideoDit> teacher = LoadModel(context, teacher_file, teacher_info, compute);
  const bool velocity = config.loss == "velocity";
  const BlockSize block = info.block();
  ModelTeacher runs(*teacher);
  std::unique_ptr<CachedTeacher> cache = OpenCache(config, scope, info, *teacher);
  Teacher* followed = cache ? static_cast<Teacher*>(cache.get()) : &runs;
  FlowTrainer trainer(*student, ToTrainerConfig(config.train), scope.seed(),
                      velocity ? followed : nullptr, &setting, block);
  const std::optional<TensorReader> checkpoint = scope.OpenCheckpoint();
  const HeldOutUnits units(context, data.first(), info, scope.seed());

  const VideoDit::Flops forward = student->ForwardFlops(info.ClipShape(1));
  const double dense = forward.linear + forward.attention;
  const int64_t done =
      checkpoint ? checkpoint->IntAttribute("/state", "steps-done").value_or(0) : 0;
  const int64_t samples = config.train.steps * config.train.batch;
  const int64_t to_do = samples - std::min(samples, done * config.train.batch);
  const int64_t taught = cache ? std::min(samples, cache->Known()) : 0;
  Plan plan{.what = fmt::format("{} of setting '{}' for {} steps of {} clips",
                                velocity ? "velocity distillation" : "diffusion-loss tuning",
                                setting.name, config.train.steps, config.train.batch)};
  plan.details.push_back(fmt::format("rule {}, k {}, p {}, blocks {}x{}", setting.rule,
                                     ToString(setting.k), ToString(setting.p), block.q, block.k));
  plan.details.push_back("samples of " + data.Describe());
  if (cache) {
    plan.details.push_back(fmt::format("{} of {} velocities of the teacher are in {}", taught,
                                       samples, scope.Input("cache-teacher")));
  }
  plan.flops = static_cast<double>(to_do) *
                   (3 * forward.linear + 3.5 * ExpectedDensity(setting) * forward.attention) +
               (velocity ? static_cast<double>(std::min(to_do, samples - taught)) * dense : 0) +
               4 * dense * static_cast<double>(config.train.held_out_draws);
  if (!scope.Begin(plan)) return {};
  if (cache) MakeFolder(scope.Input("cache-teacher"));

  const int64_t draws = config.train.held_out_draws;
  const HeldOutError before =
      MeasureError(scope, *student, setting, block, *teacher, units, draws, "before training",
                   [&] { checkpoint ? scope.Stop() : SaveTraining(scope, trainer, {}); });
  const std::vector<LossPoint> curve =
      Train(scope, trainer, info, data, config.train, checkpoint ? &*checkpoint : nullptr,
            cache ? [&] { cache->Flush(); } : std::function<void()>());
  if (cache) cache->Flush();
  const std::vector<NamedArray> weights = trainer.UseTrained();
  const HeldOutError after =
      MeasureError(scope, *student, setting, block, *teacher, units, draws, "after training",
                   [&] { SaveTraining(scope, trainer, curve); });
  const Interval gain =
      draws > 0 ? PairedInterval(before.difference, after.difference) : Interval{};
  const double scale = draws > 0 ? Mean(before.reference) : 1;
  std::map<std::string, std::string> facts;
  if (draws > 0) {
    facts["density"] = fmt::format("{:.4f}", after.density);
    facts["e before"] = ToText(before.e);
    facts["e after"] = ToText(after.e);
    if (velocity) facts["held-out loss"] = ToText(HeldOutLossOf(after, info));
  }

  TensorWriter writer = scope.NewFile(EncodingType::kModel);
  WriteModel(&writer, info, weights, ParseDType(config.train.stored));
  writer.Attribute("/training", "steps", trainer.steps());
  writer.Attribute("/training", "loss", config.loss);
  writer.Attribute("/training", "setting", setting.name);
  if (draws > 0) {
    writer.Attribute("/training", "density", after.density);
    writer.Attribute("/training", "error-before", ToList(before.e));
    writer.Attribute("/training", "error-after", ToList(after.e));
  }
  scope.Commit(std::move(writer));
  WriteCurve(scope, curve);
  Json json = {{"output", scope.Output()},
               {"setting", setting.name},
               {"steps", trainer.steps()},
               {"draws", draws}};
  for (const char* measured : {"density", "before", "after", "paired_gain"}) json[measured] = {};
  std::string text = fmt::format("{}: setting '{}', {} steps of {} loss", scope.Output(),
                                 setting.name, trainer.steps(), config.loss);
  if (draws == 0) {
    text += "; nothing held out was measured\n";
  } else {
    json["density"] = after.density;
    json["before"] = ToJson(before.e);
    json["after"] = ToJson(after.e);
    json["paired_gain"] = {gain.low / scale, gain.high / scale};
    text += fmt::format(
        ", density {:.4f}\n"
        "held-out e = sum|u_s - u_d|^2 / sum|u_d|^2 over {} draws: {} before, {} after\n"
        "paired gain (before - after) [{:.5f}, {:.5f}] (95 %)\n",
        after.density, draws, ToText(before.e), ToText(after.e), gain.low / scale,
        gain.high / scale);
  }
  return {.text = std::move(text), .json = json.dump() + "\n", .facts = facts};
}

}  // namespace suffice::distill
