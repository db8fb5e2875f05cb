// SPDX-License-Identifier: Apache-2.0
// Reverse-mode differentiation over the operations of kernels/. A Var is a tensor with, perhaps, a
// gradient; a Tape remembers how to turn gradients of results into gradients of inputs, and
// Backward does so in reverse order, dropping each step's saved tensors as it goes. Nothing here
// reads or writes device memory but through a Context.
//
// Gradients are made when the first contribution arrives and have the dtype of the value, except:
// those of parameters, and of Vars marked WithFp32Gradient (modulation vectors, into which every
// token of a sample adds), are fp32. The first contribution writes, later ones add; the order is
// the reverse of the forward pass and no other, so gradients are the same bits in every run.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "lib/nn/parameter.h"
#include "lib/tensor/tensor.h"

namespace suffice {

class Tape;

// A handle; copies share.
class Var {
 public:
  Var() = default;

  bool empty() const { return node_ == nullptr; }
  const Tensor& value() const { return node_->value; }
  const Shape& shape() const { return node_->value.shape(); }
  DType dtype() const { return node_->value.dtype(); }
  bool requires_grad() const { return node_ != nullptr && node_->requires_grad; }

  // The gradient gathered so far; empty if none was.
  const Tensor& grad() const { return node_->grad; }
  bool has_grad() const { return node_ != nullptr && node_->written; }

  // For the functions of lib/nn. Where a contribution goes: into `tensor`, adding if `accumulate`.
  struct Target {
    Tensor tensor;
    bool accumulate;
  };
  Target GradTarget() const;
  // The fp32 gradient with zeros in it if nothing was there: for operations that only add.
  Tensor GradAccumulator() const;
  // Adds `gradient`, or keeps it as the gradient if there is none: the caller must not use it
  // again.
  void AddGrad(const Tensor& gradient) const;

 private:
  friend class Tape;
  struct Node {
    Tensor value;
    Tensor grad;
    DType grad_dtype = DType::kF32;
    bool requires_grad = false;
    bool written = false;         // grad holds contributions
    std::shared_ptr<Node> whole;  // of a part: columns [begin, end) of this
    int64_t begin = 0, end = 0;
  };
  void MakeGrad() const;
  static void MakeGrad(Node& node);
  std::shared_ptr<Node> node_;
};

class Tape {
 public:
  // kInfer records nothing: results have no gradients and free their inputs as soon as they can.
  enum class Mode : uint8_t { kInfer, kRecord };
  Tape(Context& context, Mode mode) : context_(&context), recording_(mode == Mode::kRecord) {}
  Tape(const Tape&) = delete;
  Tape& operator=(const Tape&) = delete;

  Context& context() const { return *context_; }
  bool recording() const { return recording_; }
  // True while a checkpointed stretch runs again for its backward pass.
  bool replaying() const { return replaying_; }

  Var Constant(const Tensor& value) const;   // never has a gradient
  Var Leaf(const Tensor& value) const;       // has one, in a tensor of its own
  Var Of(const Parameter& parameter) const;  // reads compute, adds to grad

  // A result: requires a gradient if the tape records and any input does.
  Var Result(const Tensor& value, std::initializer_list<Var> inputs) const;
  Var WithFp32Gradient(const Var& var) const;  // the same Var; before anything used it

  // Steps run in reverse order of their recording. A step may assume nothing about whether its
  // result received a gradient; RecordFor skips it if not.
  void RecordFor(const Var& result, std::function<void(const Tensor& gradient)> step);
  void Record(std::function<void()> step) { steps_.push_back(std::move(step)); }

  // Columns [0, sizes[0]), ... of a matrix, as Vars that share its memory and its gradient's.
  std::vector<Var> Split(const Var& matrix, const std::vector<int64_t>& sizes);

  // Activation checkpointing: runs fn without recording, and again, recording, when the gradient of
  // its result is known. fn must be a function of the Vars and parameters it captures alone; their
  // gradients have the same bits as without the checkpoint.
  Var Checkpoint(const std::function<Var(Tape&)>& fn);

  // Starts from gradients given by AddGrad (or by MseLoss). Leaves the tape empty.
  void Backward();

 private:
  Context* context_;
  bool recording_;
  bool replaying_ = false;
  std::vector<std::function<void()>> steps_;
};

}  // namespace suffice
