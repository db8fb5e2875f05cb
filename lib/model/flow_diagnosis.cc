// SPDX-License-Identifier: Apache-2.0
// FlowTrainer: what went wrong in a step whose loss or gradients are not finite. The step left the
// weights as they were, so it can run again; this time every part of the model is looked at.
#include <cmath>

#include "lib/model/flow_trainer.h"

namespace suffice {
namespace {

double SquareSum(const Tensor& tensor) {
  const Tensor sum = Tensor::Zeros(tensor.context(), DType::kF32, {1});
  tensor.context().Run(SumSquaresParams{.x = tensor, .out = sum, .accumulate = false});
  return double{sum.ToHost().values<float>()[0]};
}

// Of any finite value the square fits once it is scaled down; what is not finite stays so.
bool Finite(const Tensor& tensor) {
  const Tensor scaled(tensor.context(), DType::kF32, tensor.shape());
  tensor.context().Run(AxpbyParams{.x = tensor, .out = scaled, .alpha = 0x1p-80f});
  return std::isfinite(SquareSum(scaled));
}

}  // namespace

void FlowTrainer::Rerun(const ClipBatch& sample, uint64_t number,
                        const ForwardOptions& options) const {
  const Problem p = Pose(sample, Times(number, 1), number);
  options.inspector(teacher_ != nullptr ? "the teacher's velocity" : "the target",
                    Target(p, number));
  ForwardOptions with_plan = options;
  with_plan.plan = &p.plan;
  Tape tape(model_->context(), Tape::Mode::kInfer);
  model_->Forward(tape, p.tokens, *p.geometry, p.conditioning, with_plan);
}

std::string FlowTrainer::Diagnose() const {
  constexpr char kFirst[] = "the first value that is not a number is ";
  for (const auto& parameter : model_->parameters().all()) {
    if (!Finite(parameter->master)) return kFirst + ("in the weights of " + parameter->name);
  }
  uint64_t number = pending_->first_sample;
  for (const ClipBatch& batch : pending_->batches) {
    for (int64_t b = 0; b < batch.clips.shape()[0]; ++b, ++number) {
      const ClipBatch sample = batch.Sample(b);
      std::string first;
      ForwardOptions options;
      options.inspector = [&](const std::string& part, const Tensor& value) {
        if (first.empty() && !Finite(value)) first = part;
      };
      options.inspector("the clip itself", sample.clips);
      if (first.empty()) Rerun(sample, number, options);
      if (!first.empty())
        return fmt::format("{}in {}, of sample {} of the run", kFirst, first, number);
    }
  }
  // The forward pass is sound: gradients run from the last parameter to the first.
  const auto& all = model_->parameters().all();
  for (auto parameter = all.rbegin(); parameter != all.rend(); ++parameter) {
    if ((*parameter)->trainable && !Finite((*parameter)->grad))
      return kFirst + ("in the gradient of " + (*parameter)->name);
  }
  return "all values are finite when it runs again: the gradients' squares add up to more than "
         "fp32 "
         "holds, or the device made an error";
}

FlowTrainer::LargestGradient FlowTrainer::FindLargestGradient() const {
  LargestGradient largest;
  double sum = 0, most = -1;
  for (const auto& parameter : model_->parameters().all()) {
    if (!parameter->trainable) continue;
    const double square = SquareSum(parameter->grad);
    sum += square;
    if (square > most) {
      most = square;
      largest.parameter = parameter->name;
    }
  }
  largest.share = sum > 0 ? std::sqrt(most / sum) : 0;
  return largest;
}

}  // namespace suffice
