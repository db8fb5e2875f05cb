// SPDX-License-Identifier: Apache-2.0
#include "lib/distill/train_loop.h"

#include <chrono>
#include <cmath>

#include "lib/base/error.h"
#include "lib/model/model_config.h"

namespace suffice::distill {
namespace {

constexpr char kArrays[] = "/state/arrays/";

// Sample `first`, `first + 1`, ... of the run, `count` of them.
ClipBatch MakeBatch(Context& context, const ClipDataset& data, const ModelInfo& info,
                    const TrainConfig& config, uint64_t seed, uint64_t first, int64_t count) {
  const ClipShape shape = ClipShapeOf(info);
  HostArray clips(DType::kF32, info.ClipShape(count));
  ClipBatch batch;
  float* out = clips.values<float>().data();
  for (int64_t b = 0; b < count; ++b) {
    const ClipDraw draw =
        data.Draw(shape, false, config.flips, seed, first + static_cast<uint64_t>(b));
    const HostArray clip = data.Clip(draw, shape);
    out = std::copy(clip.values<float>().begin(), clip.values<float>().end(), out);
    if (info.architecture.classes > 0) batch.labels.push_back(static_cast<int32_t>(draw.label));
  }
  batch.clips = Tensor::FromHost(context, clips);
  return batch;
}

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

}  // namespace

void Visit(Fields& f, TrainConfig& c) {
  f("steps", c.steps, "optimiser steps").Range(0, 1e9).Flag("steps");
  f("batch", c.batch, "samples a step").Range(1, 65536).Flag("batch");
  f("micro_batch", c.micro_batch, "samples in memory at a time; divides batch").Range(1, 65536);
  f("flips", c.flips, "mirror half of the clips");
  f("label_dropout", c.label_dropout, "probability of the null label").Range(0, 1);
  f("activation_checkpoints", c.activation_checkpoints,
    "run blocks again in the backward pass: less memory");
  f("compute", c.compute, "type of activations and weights; masters are f32")
      .OneOf({"bf16", "f32"});
  f("stored", c.stored, "type of the weights in the output").OneOf({"bf16", "f32"});
  f("held_out_draws", c.held_out_draws, "held-out units measured; 0: none").Range(0, 1e6);
  f.Group("optimizer", c.optimizer, "AdamW");
  f.Group("time", c.time, "law of t in training");
}

void CheckTrainConfig(const TrainConfig& config) {
  if (config.batch % config.micro_batch != 0) {
    throw UsageError("train.micro_batch: {} does not divide train.batch, {}", config.micro_batch,
                     config.batch);
  }
}

FlowTrainingConfig ToTrainerConfig(const TrainConfig& config) {
  FlowTrainingConfig result;
  result.optimizer = config.optimizer;
  result.time = config.time;
  result.label_dropout = config.label_dropout;
  result.checkpoint = config.activation_checkpoints;
  return result;
}

DType ParseDType(const std::string& name) { return name == "bf16" ? DType::kBF16 : DType::kF32; }

std::string CurveTsv(const std::vector<LossPoint>& curve) {
  std::string tsv = "step\tloss\tgradient_norm\tlr\n";
  for (const LossPoint& p : curve) {
    tsv += fmt::format("{}\t{:.7g}\t{:.7g}\t{:.7g}\n", p.step, p.loss, p.gradient_norm, p.lr);
  }
  return tsv;
}

std::vector<LossPoint> Train(RunScope& scope, FlowTrainer& trainer, const ModelInfo& info,
                             const ClipDataset& data, const TrainConfig& config,
                             const TensorReader* checkpoint,
                             const std::vector<std::pair<std::string, double>>& extra) {
  std::vector<LossPoint> curve;
  if (checkpoint != nullptr) {
    std::vector<NamedArray> arrays;
    for (const DatasetInfo& dataset : checkpoint->datasets("/state/arrays")) {
      arrays.push_back({dataset.path.substr(sizeof(kArrays) - 1), checkpoint->Read(dataset.path)});
    }
    trainer.Import(arrays, checkpoint->path());
    curve = ReadCurve(*checkpoint);
  }
  double smooth = curve.empty() ? 0 : curve.back().loss;
  const auto log = [&](const std::optional<StepReport>& report) {
    if (!report) return;
    if (!std::isfinite(report->loss)) {
      throw RunError(
          "step {}: the loss is {}; a lower learning rate or a larger clip_norm is a place to "
          "start",
          report->step, report->loss);
    }
    curve.push_back({report->step, report->loss, report->gradient_norm, report->lr});
    smooth = smooth == 0 ? report->loss : 0.98 * smooth + 0.02 * report->loss;
    scope.progress().Step(
        report->step, config.steps,
        fmt::format(
            "step {}/{}, loss {:.5f} (smoothed {:.5f}), gradient {:.3g}, lr {:.3g}, {:.1f} s",
            report->step, config.steps, report->loss, smooth, report->gradient_norm, report->lr,
            scope.SpentSeconds()),
        {{"loss", report->loss}, {"gradient_norm", report->gradient_norm}, {"lr", report->lr}});
  };
  while (trainer.steps() < config.steps) {
    if (scope.CheckpointDue()) {
      log(trainer.Finish());
      scope.SaveCheckpoint([&](TensorWriter& writer) {
        for (const NamedArray& named : trainer.Export())
          writer.Dataset(kArrays + named.name, named.array);
        writer.Dataset("/state/curve", CurveTable(curve));
        for (const auto& [name, value] : extra) writer.Attribute("/state", name, value);
      });
    }
    std::vector<ClipBatch> batches;
    for (int64_t b = 0; b < config.batch; b += config.micro_batch) {
      const auto first = static_cast<uint64_t>(trainer.steps() * config.batch + b);
      batches.push_back(
          MakeBatch(scope.context(), data, info, config, scope.seed(), first, config.micro_batch));
    }
    log(trainer.Step(batches));
  }
  log(trainer.Finish());
  return curve;
}

RelativeError MeasureError(RunScope& scope, VideoDit& student, const Setting& setting,
                           BlockSize block, VideoDit& teacher, const HeldOutUnits& units,
                           int64_t count, const std::string& what) {
  RelativeError error;
  PairCount pairs;
  double difference = 0, reference = 0;
  for (int64_t i = 0; i < count; ++i) {
    const FlowUnit unit = units[static_cast<uint64_t>(i)];
    const Tensor dense = VelocityAt(teacher, unit, DenseSetting(), block);
    const SquareError squares =
        CompareSquares(VelocityAt(student, unit, setting, block, &pairs), dense);
    error.difference.push_back(squares.difference);
    error.reference.push_back(squares.reference);
    difference += squares.difference;
    reference += squares.reference;
    scope.progress().Step(i + 1, count,
                          fmt::format("{}: held-out unit {}/{}, e {:.5f}", what, i + 1, count,
                                      difference / reference));
  }
  if (count == 0) return error;
  error.value = difference / reference;
  error.interval = RatioInterval(error.difference, error.reference, scope.seed());
  error.density = pairs.density();
  return error;
}

HeldOutLoss MeasureLoss(RunScope& scope, VideoDit& model, const Setting& setting, BlockSize block,
                        const HeldOutUnits& units, int64_t count, const std::string& what) {
  std::vector<double> losses;
  for (int64_t i = 0; i < count; ++i) {
    const FlowUnit unit = units[static_cast<uint64_t>(i)];
    const Tensor velocity = VelocityAt(model, unit, setting, block);
    const SquareError squares = CompareSquares(velocity, FlowVelocity(unit.x0, unit.eps));
    losses.push_back(squares.difference / static_cast<double>(velocity.shape().elements()));
    scope.progress().Step(
        i + 1, count,
        fmt::format("{}: held-out unit {}/{}, mean loss {:.5f}", what, i + 1, count, Mean(losses)));
  }
  return {Mean(losses), MeanInterval(losses)};
}

}  // namespace suffice::distill
