// SPDX-License-Identifier: Apache-2.0
#include "lib/nn/tape.h"

namespace suffice {

void Var::MakeGrad(Node& node) {
  if (!node.grad.empty()) return;
  if (node.whole != nullptr) {
    MakeGrad(*node.whole);
    node.whole->written = true;
    node.grad = node.whole->grad.Slice(1, node.begin, node.end);
  } else {
    node.grad = Tensor(node.value.context(), node.grad_dtype, node.value.shape());
  }
}

Var::Target Var::GradTarget() const {
  SUFFICE_CHECK(requires_grad());
  MakeGrad(*node_);
  return {node_->grad, std::exchange(node_->written, true)};
}

Tensor Var::GradAccumulator() const {
  const Target target = GradTarget();
  SUFFICE_CHECK(target.tensor.dtype() == DType::kF32);
  if (!target.accumulate) target.tensor.context().Run(FillParams{.out = target.tensor});
  return target.tensor;
}

void Var::AddGrad(const Tensor& gradient) const {
  SUFFICE_CHECK(requires_grad());
  if (!node_->written && node_->whole == nullptr && gradient.dtype() == node_->grad_dtype &&
      gradient.view().contiguous()) {
    SUFFICE_CHECK(gradient.shape() == shape());
    node_->grad = gradient;
    node_->written = true;
    return;
  }
  const Target target = GradTarget();
  AxpbyParams add{.x = gradient, .out = target.tensor};
  if (target.accumulate) {
    add.y = target.tensor;
    add.beta = 1.0f;
  }
  gradient.context().Run(add);
}

Var Tape::Constant(const Tensor& value) const {
  Var var;
  var.node_ = std::make_shared<Var::Node>();
  var.node_->value = value;
  var.node_->grad_dtype = value.dtype();
  return var;
}

Var Tape::Leaf(const Tensor& value) const {
  Var var = Constant(value);
  var.node_->requires_grad = recording_;
  return var;
}

Var Tape::Of(const Parameter& parameter) const {
  Var var = Constant(parameter.compute);
  if (recording_ && parameter.trainable) {
    SUFFICE_CHECK(!parameter.grad.empty());  // EnsureGradients comes first
    var.node_->requires_grad = true;
    var.node_->grad_dtype = DType::kF32;
    var.node_->grad = parameter.grad;
    var.node_->written = true;
  }
  return var;
}

Var Tape::Result(const Tensor& value, std::initializer_list<Var> inputs) const {
  Var var = Constant(value);
  for (const Var& input : inputs) {
    var.node_->requires_grad |= recording_ && input.requires_grad();
  }
  return var;
}

Var Tape::WithFp32Gradient(const Var& var) const {
  SUFFICE_CHECK(var.node_->grad.empty());
  var.node_->grad_dtype = DType::kF32;
  return var;
}

void Tape::RecordFor(const Var& result, std::function<void(const Tensor& gradient)> step) {
  if (!result.requires_grad()) return;
  steps_.push_back([result, step = std::move(step)] {
    if (result.has_grad()) step(result.grad());
  });
}

std::vector<Var> Tape::Split(const Var& matrix, const std::vector<int64_t>& sizes) {
  std::vector<Var> parts;
  int64_t begin = 0;
  for (const int64_t size : sizes) {
    Var part = Constant(matrix.value().Slice(1, begin, begin + size));
    part.node_->requires_grad = matrix.requires_grad();
    part.node_->grad_dtype = matrix.node_->grad_dtype;
    part.node_->whole = matrix.node_;
    part.node_->begin = begin;
    part.node_->end = begin += size;
    parts.push_back(part);
  }
  SUFFICE_CHECK(begin == matrix.shape()[1]);
  if (matrix.requires_grad()) {
    // A part that nothing used leaves a hole in a gradient that the others began.
    Record([parts, context = context_] {
      bool any = false;
      for (const Var& part : parts) any |= part.has_grad();
      if (!any) return;
      for (const Var& part : parts) {
        if (!part.has_grad()) context->Run(FillParams{.out = part.GradTarget().tensor});
      }
    });
  }
  return parts;
}

Var Tape::Checkpoint(const std::function<Var(Tape&)>& fn) {
  if (!recording_) return fn(*this);
  Tape forward(*context_, Mode::kInfer);
  forward.replaying_ = replaying_;
  Var result = Constant(fn(forward).value());
  result.node_->requires_grad = true;
  Record([result, fn, context = context_] {
    if (!result.has_grad()) return;
    Tape again(*context, Mode::kRecord);
    again.replaying_ = true;
    const Var out = fn(again);
    if (!out.requires_grad()) return;
    out.AddGrad(result.grad());
    again.Backward();
  });
  return result;
}

void Tape::Backward() {
  while (!steps_.empty()) {
    steps_.back()();
    steps_.pop_back();
  }
}

}  // namespace suffice
