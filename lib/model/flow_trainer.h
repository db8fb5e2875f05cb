// SPDX-License-Identifier: Apache-2.0
// Training steps of a video diffusion transformer: flow matching from data, and velocity
// distillation of a sparse student from a dense teacher at the same x_t, t and condition
// (SpargeAttention2, arXiv 2602.13515, section 3.4: nothing but || u_student - u_teacher ||^2).
//
// Everything random is drawn from Philox by (seed, stream, sample), where samples are numbered
// through the whole run: what a step sees does not depend on how its samples are cut into
// micro-batches, on threads, or on what ran before it. Micro-batches add to the same gradients, so
// that a step's memory is that of its largest micro-batch.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "lib/model/rectified_flow.h"
#include "lib/model/teacher.h"
#include "lib/nn/adamw.h"
#include "lib/tensor/replay.h"

namespace suffice {

struct FlowTrainingConfig {
  AdamWConfig optimizer;
  TimeLaw time;
  double label_dropout = 0.1;  // probability that a label becomes the null label
  bool checkpoint = false;     // run blocks again in the backward pass: less memory, more time
};

// Samples of one micro-batch.
struct ClipBatch {
  Tensor clips;                 // (B, C, F, Y, X) fp32
  std::vector<int32_t> labels;  // B of them; empty without classes
  Tensor context;               // (B, L, context_dim) of the compute dtype; empty without

  ClipBatch Sample(int64_t b) const;  // that one alone
};

struct StepReport {
  int64_t step;          // from 1
  double loss;           // mean squared error over the step's samples
  double gradient_norm;  // before clipping
  double lr;
};

// A derived class may put another loss of the same model in the place of the flow's.
class FlowTrainer {
 public:
  // Trains `model` on data; with a teacher, on the teacher's velocity. The two share a context and
  // agree on everything but attention. `setting` is what the model attends by, null for dense. The
  // referenced objects outlive the trainer.
  FlowTrainer(VideoDit& model, const FlowTrainingConfig& config, uint64_t seed,
              Teacher* teacher = nullptr, const Setting* setting = nullptr, BlockSize block = {});
  virtual ~FlowTrainer() = default;

  // One optimiser step over all micro-batches, queued on the context's stream. Returns the report
  // of the step before, which costs no wait for this one; nothing at the first call.
  //
  // A step whose loss or gradients are not finite changes neither weights nor moments; the call
  // that would report it throws kFailed, which names the step and the part of the model where the
  // first value that is not a number came up.
  std::optional<StepReport> Step(const std::vector<ClipBatch>& micro_batches);
  // The report of the last step; waits for it. Nothing if it was already returned. Throws as Step.
  std::optional<StepReport> Finish();

  // The parameter whose gradient of the last step has the largest norm, and its share of the norm
  // of all. Waits.
  struct LargestGradient {
    std::string parameter;
    double share = 0;
  };
  LargestGradient FindLargestGradient() const;

  int64_t steps() const { return optimizer_.steps(); }
  const AdamW& optimizer() const { return optimizer_; }

  // What training leaves, to be measured and written: the moving average of the masters if the
  // optimizer keeps one, else the masters. From here on the model has these weights.
  // Export still gives the masters.
  std::vector<NamedArray> UseTrained();

  // All that a resumed run needs: "master/NAME", "optimizer/NAME", "samples" (1) i64. The same
  // steps after Import as without the interruption, bit for bit. Throws kData, naming `source`.
  std::vector<NamedArray> Export() const;
  void Import(const std::vector<NamedArray>& arrays, const std::string& source);

 protected:
  // Adds the batch's part of a step of `step_samples` samples to the gradients, and the sum of its
  // samples' losses to `loss_sum` (1, 1) fp32.
  virtual void Accumulate(const ClipBatch& batch, uint64_t first_sample, int64_t step_samples,
                          const Tensor& loss_sum);
  VideoDit& model() const { return *model_; }
  // Runs the model on one sample as Accumulate does, with `options`, and shows the target first, as
  // "the target" or what else it is. For looking into a step that went wrong.
  virtual void Rerun(const ClipBatch& sample, uint64_t number, const ForwardOptions& options) const;

 private:
  struct Pending {
    int64_t step;
    int64_t samples;
    double lr;
    uint64_t first_sample;
    std::vector<ClipBatch> batches;  // to look for what went wrong
  };
  // What a forward pass and its loss are made of.
  struct Problem {
    Tensor tokens;
    const TokenGeometry* geometry;
    Conditioning conditioning;
    Tensor target;       // empty: the teacher's velocity, still to be asked for
    AttentionPlan plan;  // empty: dense
  };
  // A forward and a backward pass over inputs in one place, for problems of one form.
  struct Pass {
    Pass(Context& context, const Problem& like, float loss_weight);
    bool Fits(const Problem& p, float loss_weight) const;
    void Load(Problem p);
    static std::array<Tensor*, 5> Inputs(Problem& p);

    Problem problem;
    float weight;
    Replay replay;
  };
  std::vector<double> Times(uint64_t first_sample, int64_t count) const;
  Problem Pose(const ClipBatch& batch, const std::vector<double>& t, uint64_t first_sample) const;
  void AccumulateAlike(const ClipBatch& batch, const std::vector<double>& t, uint64_t first_sample,
                       int64_t step_samples, const Tensor& loss_sum);
  void Differentiate(const Problem& p, uint64_t first_sample, float weight, const Tensor& loss_sum);
  Tensor Target(const Problem& p, uint64_t first_sample) const;
  Tensor Labels(const ClipBatch& batch, uint64_t first_sample) const;
  std::optional<StepReport> Read();
  // Where the first value that is not finite comes up when `pending_` runs again, in words.
  std::string Diagnose() const;

  VideoDit* model_;
  std::vector<NamedArray> masters_;  // once the model has their moving average instead
  Teacher* teacher_;
  FlowTrainingConfig config_;
  uint64_t seed_;
  std::optional<Setting> setting_;
  BlockSize block_;
  AdamW optimizer_;
  Tensor loss_sum_;  // (1, 1) fp32: sum over the step's samples of their mean squared errors
  Replay clear_;     // sets it and the gradients to zero
  std::vector<std::unique_ptr<Pass>> passes_;
  uint64_t samples_ = 0;  // seen so far
  std::optional<Pending> pending_;
};

}  // namespace suffice
