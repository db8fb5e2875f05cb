// SPDX-License-Identifier: Apache-2.0
#include "lib/distill/train_loop.h"

#include <cmath>

#include "lib/base/error.h"
#include "lib/model/model_config.h"

namespace suffice::distill {

void Visit(Fields& f, MixConfig& c) {
  f("schedule", c.schedule,
    "mixed: each sample from a dataset drawn by weight; alternate: all samples of a step from one, "
    "in turns")
      .OneOf({"mixed", "alternate"})
      .Flag("schedule");
  f("weights", c.weights, "one for each dataset, in order; none: equal").Range(0, 1e9);
}

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
  f("stop_factor", c.stop_factor,
    "end the run when the mean of the last 50 losses is above 0.01 and this many times the lowest "
    "such mean; 0: never")
      .Range(0, 1e9);
  f("held_out_draws", c.held_out_draws, "held-out units measured; 0: none").Range(0, 1e6);
  f.Group("mix", c.mix, "how several datasets share the samples out");
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

HeldOutError MeasureError(RunScope& scope, VideoDit& student, const Setting& setting,
                          BlockSize block, VideoDit& teacher, const HeldOutUnits& units,
                          int64_t count, const std::string& what,
                          const std::function<void()>& stop) {
  HeldOutError error;
  PairCount pairs;
  double difference = 0, reference = 0;
  for (int64_t i = 0; i < count; ++i) {
    if (scope.StopRequested()) stop();
    const FlowUnit unit = units[static_cast<uint64_t>(i)];
    const Tensor dense = VelocityAt(teacher, unit, DenseSetting(), block);
    const SquareError squares =
        CompareSquares(VelocityAt(student, unit, setting, block, &pairs), dense);
    error.difference.push_back(squares.difference);
    error.reference.push_back(squares.reference);
    difference += squares.difference;
    reference += squares.reference;
    scope.progress().Step(
        i + 1, count,
        fmt::format("{}: held-out unit {}/{}, e {}", what, i + 1, count,
                    reference > 0 ? fmt::format("{:.5f}", difference / reference) : "-"));
  }
  if (count == 0) return error;
  const auto e = RelativeError(error.difference, error.reference, scope.seed());
  if (!e) {
    throw DataError(
        "{}: its velocity is zero at every held-out unit, and no error can be related to it; "
        "train.held_out_draws 0 measures none",
        scope.Input("teacher"));
  }
  error.e = *e;
  error.density = pairs.density();
  return error;
}

Estimate MeasureLoss(RunScope& scope, VideoDit& model, const Setting& setting, BlockSize block,
                     const HeldOutUnits& units, int64_t count, const std::string& what,
                     const std::function<void()>& stop) {
  std::vector<double> losses;
  for (int64_t i = 0; i < count; ++i) {
    if (scope.StopRequested()) stop();
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
