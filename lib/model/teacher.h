// SPDX-License-Identifier: Apache-2.0
// What a student follows: a velocity at each sample of a training run.
#pragma once

#include "lib/model/video_dit.h"

namespace suffice {

class Teacher {
 public:
  virtual ~Teacher() = default;
  // Velocity (B N, patch_values) fp32 of `tokens`, those of the samples first_sample,
  // first_sample + 1, ... of the run, in the student's token order.
  virtual Tensor Velocity(uint64_t first_sample, const Tensor& tokens,
                          const TokenGeometry& geometry, const Conditioning& conditioning) = 0;
  // Whether Velocity only queues work that is the same at every call, and so may be recorded.
  virtual bool replayable() const { return false; }
};

// A dense model that runs beside its student. `model` outlives this.
class ModelTeacher : public Teacher {
 public:
  explicit ModelTeacher(const VideoDit& model) : model_(&model) {}
  Tensor Velocity(uint64_t first_sample, const Tensor& tokens, const TokenGeometry& geometry,
                  const Conditioning& conditioning) override;
  bool replayable() const override { return true; }

 private:
  const VideoDit* model_;
};

}  // namespace suffice
