// SPDX-License-Identifier: Apache-2.0
// Held-out units: independent draws of (condition, start frame, crop, t, noise) from the held-out
// part of a dataset, and what a model's velocity is at one. A unit is a function of (seed, id)
// alone; its randomness is apart from that of training with the same seed.
#pragma once

#include <string>
#include <vector>

#include "lib/model/model_file.h"
#include "lib/model/rectified_flow.h"
#include "lib/policy/clips.h"
#include "lib/policy/layer_plan.h"

namespace suffice {

struct FlowUnit {
  uint64_t id = 0;
  ClipDraw clip;
  double t = 0;
  Tensor x0, eps, x_t;     // (1, C, F, Y, X) fp32
  Conditioning condition;  // t and label
};

class HeldOutUnits {
 public:
  // `data` outlives this. t is uniform on (0, 1).
  HeldOutUnits(Context& context, const ClipDataset& data, const ModelInfo& model, uint64_t seed);
  FlowUnit operator[](uint64_t id) const;
  // In words: the population of which draws of these units speak.
  std::string Population(const std::string& data_digest) const;

 private:
  Context* context_;
  const ClipDataset* data_;
  ClipShape shape_;
  bool labels_;
  uint64_t seed_;
};

ClipShape ClipShapeOf(const ModelInfo& model);

// Velocity (1, C, F, Y, X) fp32 under a setting; dense if it is. `density`, if given, gets the kept
// and allowed pairs of all layers added.
Tensor VelocityAt(VideoDit& model, const FlowUnit& unit, const Setting& setting, BlockSize block,
                  PairCount* pairs = nullptr);

// Sums of squares |a - b|^2 and |b|^2.
struct SquareError {
  double difference = 0, reference = 0;
};
SquareError CompareSquares(const Tensor& a, const Tensor& b);

}  // namespace suffice
