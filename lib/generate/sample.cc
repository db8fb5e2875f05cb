// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>

#include "lib/base/error.h"
#include "lib/base/nearest.h"
#include "lib/config/yaml.h"
#include "lib/generate/choice.h"
#include "lib/generate/verbs.h"
#include "lib/io/text_file.h"
#include "lib/model/held_out.h"
#include "lib/model/rectified_flow.h"
#include "lib/model/steady_velocity.h"

namespace suffice::generate {
namespace {

using Json = nlohmann::ordered_json;

std::string Joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : ", ") + word;
  return text;
}

// A class by its name or else its number.
std::optional<int32_t> FindClass(const std::string& word, const std::vector<std::string>& classes) {
  const auto named = std::find(classes.begin(), classes.end(), word);
  if (named != classes.end()) return static_cast<int32_t>(named - classes.begin());
  int32_t index = -1;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), index);
  const auto count = static_cast<int32_t>(classes.size());
  if (error == std::errc{} && end == word.data() + word.size() && index >= 0 && index < count)
    return index;
  return std::nullopt;
}

int32_t ParseClass(const std::string& word, const std::vector<std::string>& classes) {
  if (const auto index = FindClass(word, classes)) return *index;
  throw UsageError("class '{}': unknown, the model has {} (0 to {})", word, Joined(classes),
                   classes.size() - 1);
}

// One class a line; without blank lines and those that begin with #.
std::vector<int32_t> ReadClasses(const std::string& path, const std::vector<std::string>& known) {
  if (path == "-") throw UsageError("classes -: a file is wanted, its digest goes into the output");
  std::istringstream lines(ReadText(path));
  std::vector<int32_t> classes;
  std::string line;
  for (int64_t number = 1; std::getline(lines, line); ++number) {
    const size_t begin = line.find_first_not_of(" \t\r");
    if (begin == std::string::npos || line[begin] == '#') continue;
    const std::string word = line.substr(begin, line.find_last_not_of(" \t\r") - begin + 1);
    const auto index = FindClass(word, known);
    if (!index) {
      const std::string nearest = DidYouMean(word, known);
      throw DataError("{}:{}: class '{}': unknown{}", path, number, word,
                      nearest.empty() ? fmt::format(", the model has {} (0 to {})", Joined(known),
                                                    known.size() - 1)
                                      : nearest);
    }
    classes.push_back(*index);
  }
  if (classes.empty()) throw DataError("{}: no class in it, one a line wanted", path);
  return classes;
}

// The classes that are sampled in turn; none for a model without classes.
std::vector<int32_t> ParseClasses(RunScope& scope, const SampleConfig& config,
                                  const Choice& choice) {
  const std::vector<std::string>& known = choice.info.classes;
  if (scope.Has("classes") && !config.classes.empty()) {
    throw UsageError("class '{}': asked for beside {}, which names the classes itself",
                     config.classes, scope.Input("classes"));
  }
  if (known.empty()) {
    if (scope.Has("classes"))
      throw UsageError("{}: {} has no classes", scope.Input("classes"), choice.file.path());
    if (!config.classes.empty())
      throw UsageError("class '{}': {} has no classes", config.classes, choice.file.path());
    if (config.guidance != 1)
      throw UsageError("guidance {}: {} has no classes to be guided by", config.guidance,
                       choice.file.path());
    return {};
  }
  if (scope.Has("classes")) return ReadClasses(scope.Input("classes"), known);
  std::vector<int32_t> classes;
  if (config.classes.empty()) {
    for (size_t i = 0; i < known.size(); ++i) classes.push_back(static_cast<int32_t>(i));
    return classes;
  }
  if (std::find(known.begin(), known.end(), config.classes) != known.end())
    return {ParseClass(config.classes, known)};  // a name with a comma in it
  for (size_t begin = 0; begin <= config.classes.size();) {
    const size_t comma = std::min(config.classes.find(',', begin), config.classes.size());
    classes.push_back(ParseClass(config.classes.substr(begin, comma - begin), known));
    begin = comma + 1;
  }
  return classes;
}

// (1, C, F, Y, X) of one sample; the contract's resolution binds, a dense model takes any.
Shape ClipShapeFor(const SampleConfig& config, const Choice& choice) {
  std::vector<int64_t> wanted = {config.frames, config.height, config.width};
  for (size_t axis = 0; axis < 3; ++axis) {
    if (wanted[axis] == 0) wanted[axis] = choice.info.resolution[axis];
  }
  const std::vector<int64_t>& trained = choice.info.resolution;
  if (choice.info.contract && wanted != trained) {
    throw UsageError("{} frames of {}x{}: asked for, the contract of {} is for {} of {}x{}",
                     wanted[0], wanted[2], wanted[1], choice.file.path(), trained[0], trained[2],
                     trained[1]);
  }
  return {1, choice.info.architecture.in_channels, wanted[0], wanted[1], wanted[2]};
}

Shape WithBatch(const Shape& clip, int64_t batch) {
  Shape shape = clip;
  shape[0] = batch;
  return shape;
}

class Sampling {
 public:
  Sampling(RunScope& scope, const SampleConfig& config, const Choice& choice)
      : scope_(scope),
        config_(config),
        choice_(choice),
        classes_(ParseClasses(scope, config, choice)),
        clip_(ClipShapeFor(config, choice)),
        model_(Load(scope.context(), choice, config.compute)),
        grid_(TimeGrid(config.steps, config.shift)),
        part_(scope.TakePart(config.count > 0
                                 ? config.count
                                 : std::max<int64_t>(1, static_cast<int64_t>(classes_.size())),
                             "samples", config.batch)),
        count_(part_.items()),
        video_(DType::kF32, WithBatch(clip_, count_)) {
    forward_ = model_->ForwardFlops(clip_);  // refuses what is not whole patches
    if (config.save_trajectory) {
      trajectory_ = HostArray(DType::kF32,
                              {count_, config.steps + 1, clip_[1], clip_[2], clip_[3], clip_[4]});
    }
  }

  double FlopsLeft() const {
    const bool heun = ParseSolver(config_.solver) == Solver::kHeun;
    const double passes =
        (heun ? 2.0 * static_cast<double>(config_.steps) - 1 : static_cast<double>(config_.steps)) *
        (config_.guidance == 1 ? 1 : 2);
    const double part = static_cast<double>(std::min(config_.batch, count_ - first_) * step_) /
                        static_cast<double>(config_.steps);
    return (static_cast<double>(count_ - first_) - part) * passes *
           (forward_.linear + ExpectedDensity(choice_.setting) * forward_.attention);
  }

  void Run() {
    while (first_ < count_) {
      const int64_t batch = std::min(config_.batch, count_ - first_);
      const Tensor x = RunBatch(batch);
      const HostArray host = x.ToHost();
      RequireNumbers(host);
      std::copy(host.values<float>().begin(), host.values<float>().end(),
                video_.values<float>().begin() + first_ * clip_.elements());
      first_ += batch;
      step_ = 0;
      state_ = {};
      if (first_ < count_ && scope_.CheckpointDue()) Save();
    }
  }

  void Restore(const TensorReader& checkpoint) {
    first_ = checkpoint.IntAttribute("/state", "first").value_or(-1);
    step_ = checkpoint.IntAttribute("/state", "step").value_or(-1);
    pairs_ = {checkpoint.IntAttribute("/state", "kept").value_or(0),
              checkpoint.IntAttribute("/state", "allowed").value_or(0)};
    if (first_ < 0 || first_ >= count_ || step_ < 0 || step_ >= config_.steps)
      throw DataError("{}: /state: sample {}, step {} are none of this run", checkpoint.path(),
                      first_, step_);
    const auto load = [&](const char* name, const Shape& shape) {
      checkpoint.Require(name, DType::kF32, shape);
      return checkpoint.ReadFinite(name);
    };
    video_ = load("/state/video", video_.shape());
    if (step_ > 0) {
      state_ = load("/state/x", WithBatch(clip_, std::min(config_.batch, count_ - first_)));
    }
    if (!trajectory_.empty()) trajectory_ = load("/state/trajectory", trajectory_.shape());
  }

  void Write(TensorWriter* writer, DType stored) const {
    const std::vector<std::string> dims = {"sample", "channel", "frame", "row", "column"};
    writer->Dataset("/video", video_.Cast(stored),
                    {.storage = Storage::kMapped, .dims = dims, .dtype = {}});
    std::vector<int32_t> labels;
    for (int64_t i = 0; i < count_; ++i) labels.push_back(classes_.empty() ? -1 : LabelOf(i));
    writer->Dataset("/labels", HostArray::From<int32_t>({count_}, labels));
    writer->Attribute("/", "density", pairs_.density());
    if (scope_.sharded())
      writer->Attribute("/", "shard-pairs", std::vector<int64_t>{pairs_.kept, pairs_.allowed});
    if (!choice_.info.classes.empty()) writer->Strings("/classes", choice_.info.classes);
    if (trajectory_.empty()) return;
    writer->Dataset("/trajectory/x", trajectory_.Cast(stored),
                    {.storage = Storage::kMapped,
                     .dims = {"sample", "step", "channel", "frame", "row", "column"},
                     .dtype = {}});
    writer->Dataset("/trajectory/t", ToArray(grid_));
  }

  int64_t count() const { return count_; }
  const Shape& clip() const { return clip_; }
  double density() const { return pairs_.density(); }
  int64_t tokens() { return model_->GeometryOf(clip_).tokens; }

 private:
  int32_t LabelOf(int64_t sample) const {  // of this shard
    return classes_[static_cast<size_t>(part_.begin + sample) % classes_.size()];
  }

  // The velocity of a batch under labels, or the null label. Batches of one size share `kept`.
  VelocityFunction Velocity(const Shape& shape, const std::vector<int32_t>& labels,
                            std::unique_ptr<SteadyVelocity>& kept) {
    if (kept == nullptr || !(kept->shape() == shape)) {
      kept.reset();  // its memory first
      kept = std::make_unique<SteadyVelocity>(*model_, choice_.setting, choice_.block(), shape);
    }
    if (!labels.empty()) kept->SetLabels(labels);
    return [this, &velocity = *kept](const Tensor& x, double t) {
      Tensor u = velocity(x, t);
      pairs_ += velocity.TakePairs();
      return u;
    };
  }

  Tensor RunBatch(int64_t batch) {
    Context& context = scope_.context();
    const Shape shape = WithBatch(clip_, batch);
    std::vector<int32_t> labels, null_labels;
    for (int64_t i = 0; i < batch && !classes_.empty(); ++i) {
      labels.push_back(LabelOf(first_ + i));
      null_labels.push_back(static_cast<int32_t>(choice_.info.architecture.classes));
    }
    const VelocityFunction velocity =
        config_.guidance == 1
            ? Velocity(shape, labels, conditional_)
            : Guided(Velocity(shape, labels, conditional_),
                     Velocity(shape, null_labels, unconditional_), config_.guidance);
    // Sample i has the same noise in any batch and any shard.
    const auto offset = static_cast<uint64_t>((part_.begin + first_) * clip_.elements());
    const Tensor start = step_ > 0 ? Tensor::FromHost(context, state_)
                                   : FlowNoise(context, shape, scope_.seed(), offset);
    if (step_ == 0) Keep(start);
    const int64_t begin = step_;
    const std::vector<double> rest(grid_.begin() + begin, grid_.end());
    return Integrate(
        ParseSolver(config_.solver), velocity, start, rest,
        [&](int64_t i, double t, const Tensor& x) {
          step_ = begin + i + 1;
          Keep(x);
          scope_.progress().Step(
              first_ * config_.steps + step_ * batch, count_ * config_.steps,
              fmt::format("samples {}-{} of {}, step {}/{}, t = {:.4f}, density {:.4f}",
                          part_.begin + first_ + 1, part_.begin + first_ + batch, part_.total,
                          step_, config_.steps, t, pairs_.density()));
          if (step_ == config_.steps || !scope_.CheckpointDue()) return;
          state_ = x.ToHost();
          Save();
        });
  }

  // x after `step_` steps, into the trajectory of each sample of the batch.
  void Keep(const Tensor& x) {
    if (trajectory_.empty()) return;
    const HostArray host = x.ToHost();
    const int64_t size = clip_.elements();
    for (int64_t b = 0; b < x.shape()[0]; ++b) {
      const auto from = host.values<float>().begin() + b * size;
      const int64_t row = (first_ + b) * (config_.steps + 1) + step_;
      std::copy(from, from + size, trajectory_.values<float>().begin() + row * size);
    }
  }

  void Save() {
    scope_.SaveCheckpoint([&](TensorWriter& writer) {
      writer.Attribute("/state", "first", first_);
      writer.Attribute("/state", "step", step_);
      writer.Attribute("/state", "kept", pairs_.kept);
      writer.Attribute("/state", "allowed", pairs_.allowed);
      writer.Dataset("/state/video", video_);
      if (step_ > 0) writer.Dataset("/state/x", state_);
      if (!trajectory_.empty()) writer.Dataset("/state/trajectory", trajectory_);
    });
  }

  void RequireNumbers(const HostArray& x) const {
    for (const float value : x.values<float>()) {
      if (!std::isfinite(value))
        throw RunError("samples from {} on: a value is not a number", part_.begin + first_ + 1);
    }
  }

  RunScope& scope_;
  const SampleConfig& config_;
  const Choice& choice_;
  std::vector<int32_t> classes_;
  Shape clip_;
  std::unique_ptr<VideoDit> model_;
  std::vector<double> grid_;
  const ShardPart part_;  // of the samples asked for; never cuts a batch
  int64_t count_;         // in it, and from here on samples are numbered within it
  VideoDit::Flops forward_{};
  std::unique_ptr<SteadyVelocity> conditional_, unconditional_;
  HostArray video_, trajectory_;  // (count, C, F, Y, X); (count, steps + 1, C, F, Y, X) or empty
  int64_t first_ = 0;             // sample of the batch under way
  int64_t step_ = 0;              // steps done in it
  HostArray state_;               // its x, if step_ > 0
  PairCount pairs_;
};

}  // namespace

Report Sample(const SampleConfig& config, RunScope& scope) {
  const Choice choice = ChooseRung(scope, config.setting);
  if (choice.info.architecture.context_dim > 0) {
    throw UsageError("{}: wants context of {} channels, samples have classes alone",
                     choice.file.path(), choice.info.architecture.context_dim);
  }
  Sampling sampling(scope, config, choice);
  if (const auto checkpoint = scope.OpenCheckpoint()) sampling.Restore(*checkpoint);
  const Shape& clip = sampling.clip();
  const std::string digest = scope.DigestOf(choice.file.path());
  Plan plan{.what = fmt::format("sample {} clips of {} frames of {}x{} in {} steps",
                                sampling.count(), clip[2], clip[4], clip[3], config.steps)};
  plan.details.push_back(fmt::format("{} ({}) with setting '{}', {} tokens a clip",
                                     choice.file.path(), digest.substr(0, 16), choice.setting.name,
                                     sampling.tokens()));
  plan.flops = sampling.FlopsLeft();
  if (!scope.Begin(plan)) return {};

  sampling.Run();
  TensorWriter writer = scope.NewFile(EncodingType::kSamples);
  sampling.Write(&writer, config.stored == "bf16" ? DType::kBF16 : DType::kF32);
  Setting setting = choice.setting;
  writer.Attribute("/", "fps", config.fps);
  writer.Attribute("/", "model", digest);
  writer.Attribute("/", "setting", DumpYaml(FieldsOf(setting)));
  scope.Commit(std::move(writer));
  const Json json = {{"output", scope.Output()},
                     {"count", sampling.count()},
                     {"model", digest},
                     {"setting", setting.name},
                     {"density", sampling.density()},
                     {"seconds", scope.SpentSeconds()}};
  return {
      .text = fmt::format("{}: {} clips by {} with setting '{}', density {:.4f}\n", scope.Output(),
                          sampling.count(), choice.file.path(), setting.name, sampling.density()),
      .json = json.dump() + "\n",
      .facts = {{"model", digest},
                {"setting", setting.name},
                {"density", fmt::format("{:.4f}", sampling.density())}}};
}

}  // namespace suffice::generate
