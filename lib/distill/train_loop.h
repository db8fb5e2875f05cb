// SPDX-License-Identifier: Apache-2.0
// What pretrain and sparse share: the loop over steps with its progress, checkpoints and loss
// curve, and held-out measurements.
#pragma once

#include <string>
#include <vector>

#include "lib/distill/training_data.h"
#include "lib/model/flow_trainer.h"
#include "lib/model/held_out.h"
#include "lib/policy/loss_curve.h"
#include "lib/run/run_scope.h"
#include "lib/stats/inference.h"

namespace suffice::distill {

struct TrainConfig {
  int64_t steps = 1000;
  int64_t batch = 4;        // samples a step
  int64_t micro_batch = 1;  // samples in memory at a time
  bool flips = true;
  double label_dropout = 0.1;
  bool activation_checkpoints = false;
  std::string compute = "bf16";
  std::string stored = "bf16";
  double stop_factor = 5.0;
  int64_t held_out_draws = 64;
  MixConfig mix;
  AdamWConfig optimizer;
  TimeLaw time;
};
void Visit(Fields& f, MixConfig& c);
void Visit(Fields& f, TrainConfig& c);
void CheckTrainConfig(const TrainConfig& config);

// Trains to config.steps, going on from `checkpoint` if there is one. `before_checkpoint`, if
// given, is called before each. Throws kFailed when the loss or a gradient is not a number, or when
// the loss collapses (loss_watch.h): the message names the step, the part of the model and the last
// good checkpoint. While the loss rises towards that, checkpoints wait, so that the last one is
// good.
std::vector<LossPoint> Train(RunScope& scope, FlowTrainer& trainer, const ModelInfo& info,
                             const TrainingData& data, const TrainConfig& config,
                             const TensorReader* checkpoint,
                             const std::function<void()>& before_checkpoint = nullptr);
// Writes the checkpoint of a training whose steps so far made `curve`.
void SaveTraining(RunScope& scope, const FlowTrainer& trainer, const std::vector<LossPoint>& curve);
// Writes what --curve asks for, if it is given: an output of the role curve.
void WriteCurve(RunScope& scope, const std::vector<LossPoint>& curve);
FlowTrainingConfig ToTrainerConfig(const TrainConfig& config);

// RelativeError of a student from the teacher over held-out units, and what it is made of.
struct HeldOutError {
  Estimate e;
  std::vector<double> difference, reference;  // unit by unit
  double density = 1;
};
// Throws kData, naming the argument teacher, if its velocity is zero at all of them. This and what
// follows call `stop` before a unit when the run is to stop: it writes a checkpoint and throws.
HeldOutError MeasureError(RunScope& scope, VideoDit& student, const Setting& setting,
                          BlockSize block, VideoDit& teacher, const HeldOutUnits& units,
                          int64_t count, const std::string& what,
                          const std::function<void()>& stop);

// Mean squared flow-matching error over held-out units, with Student's interval.
Estimate MeasureLoss(RunScope& scope, VideoDit& model, const Setting& setting, BlockSize block,
                     const HeldOutUnits& units, int64_t count, const std::string& what,
                     const std::function<void()>& stop);

DType ParseDType(const std::string& name);  // "bf16", "f32"

}  // namespace suffice::distill
