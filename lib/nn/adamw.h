// SPDX-License-Identifier: Apache-2.0
// AdamW over a ParameterSet: warm-up, cosine decay, clipping by the global norm, moving average.
//
// Memory: two fp32 moments a trainable parameter, a third array if there is a moving average, and
// one fp32 number, the sum of squares of all gradients, which stays on the device.
#pragma once

#include <string>
#include <vector>

#include "lib/nn/parameter.h"
#include "lib/tensor/replay.h"

namespace suffice {

struct AdamWConfig {
  double lr = 1e-3;
  double beta1 = 0.9;
  double beta2 = 0.99;
  double eps = 1e-8;
  double weight_decay = 0.0;   // of matrices; vectors have none
  double clip_norm = 1.0;      // 0: no clipping
  int64_t warmup_steps = 100;  // linear from lr / warmup_steps
  int64_t decay_steps = 0;  // cosine from the end of warm-up to final_lr at this step; 0: constant
  double final_lr = 0.0;    // as a fraction of lr
  double ema_decay = 0.0;   // 0: none; at step s the decay is min(ema_decay, s / (s + 10))
};

class AdamW {
 public:
  AdamW(ParameterSet& parameters, const AdamWConfig& config);

  // Consumes the gradients: updates masters, compute copies and moving averages. Gradients are left
  // as they are; the next step's ZeroGradients clears them.
  void Step();
  int64_t steps() const { return steps_; }
  double LrAt(int64_t step) const;  // steps count from 1
  // Sum of squares of the last step's gradients before clipping, (1) fp32.
  const Tensor& gradient_square_sum() const { return square_sum_; }
  bool has_ema() const { return config_.ema_decay > 0; }

  // Masters of the moving average, by parameter name; the masters themselves for frozen ones.
  std::vector<NamedArray> ExportEma() const;

  // "m/NAME", "v/NAME", "ema/NAME" of trainable parameters and "steps" (1) i64: all that a resumed
  // run needs beside the masters. Import throws kData, naming `source`.
  std::vector<NamedArray> Export() const;
  void Import(const std::vector<NamedArray>& arrays, const std::string& source);

 private:
  struct Slot {
    Parameter* parameter;
    Tensor m, v, ema;
  };
  void WriteSchedule();
  void Update() const;
  template <class Body>
  void ForEachArray(const Body& body) const;

  ParameterSet* parameters_;
  AdamWConfig config_;
  std::vector<Slot> slots_;
  Tensor square_sum_;
  Tensor schedule_;  // of the step under way: AdamWParams::schedule
  Replay update_;
  int64_t steps_ = 0;
};

}  // namespace suffice
