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
  FlowUnit AtTime(uint64_t id, double t) const;  // the same draw but for its time
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

// Velocity of x_t (B, C, F, Y, X) fp32, all samples at time t, under a setting; dense if it is.
// `pairs`, if given, gets the kept and allowed pairs of all layers added; `seconds` is set to what
// the forward pass took, the device idle before and after, without the counting of pairs.
Tensor VelocityUnder(VideoDit& model, const Tensor& x_t, const Conditioning& condition, double t,
                     const Setting& setting, BlockSize block, PairCount* pairs = nullptr,
                     double* seconds = nullptr);
// The same at a unit.
Tensor VelocityAt(VideoDit& model, const FlowUnit& unit, const Setting& setting, BlockSize block,
                  PairCount* pairs = nullptr, double* seconds = nullptr);

// Sums of squares |a - b|^2 and |b|^2.
struct SquareError {
  double difference = 0, reference = 0;
};
SquareError CompareSquares(const Tensor& a, const Tensor& b);

}  // namespace suffice
