// SPDX-License-Identifier: Apache-2.0
// The loop over steps: progress, checkpoints, the loss curve, and what ends a run early.
#include <cmath>

#include "lib/base/error.h"
#include "lib/distill/loss_watch.h"
#include "lib/distill/train_loop.h"
#include "lib/io/text_file.h"
#include "lib/run/checkpoint_shards.h"

namespace suffice::distill {
namespace {

std::vector<LossPoint> ReadCurve(const TensorReader& checkpoint) {
  std::vector<LossPoint> curve;
  const HostArray table = checkpoint.Read("/state/curve");
  const auto values = table.values<double>();
  for (size_t i = 0; i + 3 < values.size(); i += 4) {
    curve.push_back({static_cast<int64_t>(values[i]), values[i + 1], values[i + 2], values[i + 3]});
  }
  return curve;
}

HostArray CurveTable(const std::vector<LossPoint>& curve) {
  HostArray table(DType::kF64, {static_cast<int64_t>(curve.size()), 4});
  auto out = table.values<double>().begin();
  for (const LossPoint& p : curve) {
    for (const double x : {static_cast<double>(p.step), p.loss, p.gradient_norm, p.lr}) *out++ = x;
  }
  return table;
}

class TrainRun {
 public:
  TrainRun(RunScope& scope, FlowTrainer& trainer, const ModelInfo& info, const TrainingData& data,
           const TrainConfig& config, const std::function<void()>& before_checkpoint)
      : scope_(scope),
        trainer_(trainer),
        info_(info),
        data_(data),
        config_(config),
        before_checkpoint_(before_checkpoint),
        watch_(config.stop_factor) {}

  void Resume(const TensorReader& checkpoint) {
    trainer_.Import(ReadArrays(checkpoint), checkpoint.path());
    curve_ = ReadCurve(checkpoint);
    for (const LossPoint& point : curve_) watch_.Add(point.loss);
    saved_ = trainer_.steps();
  }

  void ToTheEnd() {
    while (trainer_.steps() < config_.steps) {
      if (scope_.CheckpointDue() && (!watch_.rising() || scope_.StopRequested())) Save();
      std::vector<ClipBatch> batches;
      for (int64_t b = 0; b < config_.batch; b += config_.micro_batch) {
        const auto first = static_cast<uint64_t>(trainer_.steps() * config_.batch + b);
        batches.push_back(data_.Batch(scope_.context(), info_, config_.flips, scope_.seed(), first,
                                      config_.micro_batch, config_.batch));
      }
      Log(trainer_.Step(batches));
    }
    Log(trainer_.Finish());
  }

  // The last checkpoint from before things went wrong, in words.
  std::string LastGood() const {
    if (!saved_) return "no checkpoint was written";
    return fmt::format("the last checkpoint is {}, of step {}", scope_.CheckpointPath(), *saved_);
  }

  std::vector<LossPoint> TakeCurve() { return std::move(curve_); }

 private:
  void Save() {
    Log(trainer_.Finish());
    if (before_checkpoint_) before_checkpoint_();
    SaveTraining(scope_, trainer_, curve_);
    saved_ = trainer_.steps();
  }

  void Log(const std::optional<StepReport>& report) {
    if (!report) return;
    curve_.push_back({report->step, report->loss, report->gradient_norm, report->lr});
    watch_.Add(report->loss);
    if (watch_.collapsed()) {
      const FlowTrainer::LargestGradient largest = trainer_.FindLargestGradient();
      throw RunError(
          "step {}: the loss has collapsed: {:.4g} over the last {} steps, {:.4g} at its best; the "
          "largest gradient is that of {}, {:.0f} % of the norm",
          report->step, watch_.mean(), LossWatch::kWindow, watch_.lowest(), largest.parameter,
          100 * largest.share);
    }
    scope_.progress().Step(
        report->step, config_.steps,
        fmt::format("step {}/{}, loss {:.5f} (mean of {}: {:.5f}), gradient {:.3g}, lr {:.3g}, "
                    "{:.1f} s",
                    report->step, config_.steps, report->loss,
                    std::min<int64_t>(LossWatch::kWindow, std::ssize(curve_)), watch_.mean(),
                    report->gradient_norm, report->lr, scope_.SpentSeconds()),
        {{"loss", report->loss}, {"gradient_norm", report->gradient_norm}, {"lr", report->lr}});
  }

  RunScope& scope_;
  FlowTrainer& trainer_;
  const ModelInfo& info_;
  const TrainingData& data_;
  const TrainConfig& config_;
  const std::function<void()>& before_checkpoint_;
  LossWatch watch_;
  std::vector<LossPoint> curve_;
  std::optional<int64_t> saved_;  // steps done at the last checkpoint
};

}  // namespace

void SaveTraining(RunScope& scope, const FlowTrainer& trainer,
                  const std::vector<LossPoint>& curve) {
  scope.SaveCheckpoint(
      [&](TensorWriter& writer) {
        writer.Dataset("/state/curve", CurveTable(curve));
        writer.Attribute("/state", "steps-done", trainer.steps());
      },
      trainer.Export());
}

void WriteCurve(RunScope& scope, const std::vector<LossPoint>& curve) {
  if (!scope.Has("curve")) return;
  const std::string& path = scope.Input("curve");
  WriteText(path, CurveTsv(curve), scope.options().force);
  if (path != "-") scope.AddOutput(path, "curve");
}

std::vector<LossPoint> Train(RunScope& scope, FlowTrainer& trainer, const ModelInfo& info,
                             const TrainingData& data, const TrainConfig& config,
                             const TensorReader* checkpoint,
                             const std::function<void()>& before_checkpoint) {
  TrainRun run(scope, trainer, info, data, config, before_checkpoint);
  if (checkpoint != nullptr) run.Resume(*checkpoint);
  try {
    run.ToTheEnd();
  } catch (const OutOfMemory& e) {
    throw OutOfMemory(fmt::format(
        "{}; a smaller train.micro_batch needs less, and so does train.activation_checkpoints; {}",
        e.what(), run.LastGood()));
  } catch (const Error& e) {
    if (e.code() != ExitCode::kFailed) throw;
    throw RunError("{}; {}", e.what(), run.LastGood());
  }
  return run.TakeCurve();
}

}  // namespace suffice::distill
