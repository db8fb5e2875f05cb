// SPDX-License-Identifier: Apache-2.0
// The velocity that a sampler asks for again and again: of batches of one shape under one setting.
// Where the device has recordings, each form of the pass is recorded once and replayed.
#pragma once

#include <memory>
#include <vector>

#include "lib/model/video_dit.h"
#include "lib/policy/layer_plan.h"
#include "lib/tensor/replay.h"

namespace suffice {

class SteadyVelocity {
 public:
  // Of videos of shape `video` (B, C, F, Y, X). `model` outlives this and its weights may change
  // between calls, their places not.
  SteadyVelocity(VideoDit& model, const Setting& setting, BlockSize block, const Shape& video);

  const Shape& shape() const { return x_.shape(); }
  void SetLabels(const std::vector<int32_t>& labels);  // B of them; before the first velocity

  // Velocity of x fp32, all samples at time t, as a new tensor.
  Tensor operator()(const Tensor& x, double t);

  // Kept and allowed pairs of all layers since the last time this was asked. Waits.
  PairCount TakePairs();

 private:
  struct Form {
    Form(Context& context, const AttentionPlan& of) : plan(of), replay(context) {}
    AttentionPlan plan;
    Replay replay;
  };
  Form& FormAt(double t);
  void Pass(const AttentionPlan& plan);

  VideoDit* model_;
  Setting setting_;
  BlockSize block_;
  Tensor x_, t_, labels_, velocity_;
  Tensor kept_;      // (1) i64: by the sparse layers
  PairCount dense_;  // by the dense layers; allowed: all layers
  std::vector<std::unique_ptr<Form>> forms_;
};

}  // namespace suffice
