// SPDX-License-Identifier: Apache-2.0
#include "lib/nn/adamw.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace suffice {

AdamW::AdamW(ParameterSet& parameters, const AdamWConfig& config)
    : parameters_(&parameters),
      config_(config),
      square_sum_(parameters.context(), DType::kF32, {1}),
      schedule_(parameters.context(), DType::kF32, {4}),
      update_(parameters.context()) {
  Context& context = parameters.context();
  parameters.EnsureGradients();
  context.Run(FillParams{.out = square_sum_});
  for (const auto& parameter : parameters.all()) {
    if (!parameter->trainable) continue;
    Slot slot{parameter.get(), Tensor(context, DType::kF32, parameter->shape),
              Tensor(context, DType::kF32, parameter->shape), Tensor()};
    context.Run(FillParams{.out = slot.m});
    context.Run(FillParams{.out = slot.v});
    if (has_ema()) {
      slot.ema = Tensor(context, DType::kF32, parameter->shape);
      context.Run(AxpbyParams{.x = parameter->master, .out = slot.ema});
    }
    slots_.push_back(slot);
  }
}

double AdamW::LrAt(int64_t step) const {
  if (step < config_.warmup_steps) {
    return config_.lr * static_cast<double>(step) / static_cast<double>(config_.warmup_steps);
  }
  if (config_.decay_steps <= config_.warmup_steps) return config_.lr;
  const double part = static_cast<double>(step - config_.warmup_steps) /
                      static_cast<double>(config_.decay_steps - config_.warmup_steps);
  const double cosine = 0.5 * (1.0 + std::cos(std::numbers::pi * std::min(1.0, part)));
  return config_.lr * (config_.final_lr + (1.0 - config_.final_lr) * cosine);
}

void AdamW::WriteSchedule() {
  const auto step = static_cast<double>(steps_);
  const auto correction = [&](double beta) {
    return static_cast<float>(1.0 - std::pow(double{static_cast<float>(beta)}, step));
  };
  const float values[] = {static_cast<float>(LrAt(steps_)),
                          static_cast<float>(std::min(config_.ema_decay, step / (step + 10.0))),
                          correction(config_.beta1), correction(config_.beta2)};
  schedule_.CopyFromHost(HostArray::From<float>({4}, values));
}

void AdamW::Step() {
  ++steps_;
  WriteSchedule();
  update_.Run([this] { Update(); });
}

void AdamW::Update() const {
  Context& context = parameters_->context();
  bool first = true;
  for (const Slot& slot : slots_) {
    context.Run(SumSquaresParams{
        .x = slot.parameter->grad, .out = square_sum_, .accumulate = !std::exchange(first, false)});
  }
  for (const Slot& slot : slots_) {
    Parameter& p = *slot.parameter;
    AdamWParams step{.master = p.master,
                     .m = slot.m,
                     .v = slot.v,
                     .grad = p.grad,
                     .grad_square_sum = square_sum_,
                     .schedule = schedule_,
                     .beta1 = static_cast<float>(config_.beta1),
                     .beta2 = static_cast<float>(config_.beta2),
                     .eps = static_cast<float>(config_.eps),
                     .weight_decay = p.matrix() ? static_cast<float>(config_.weight_decay) : 0.0f,
                     .clip_norm = static_cast<float>(config_.clip_norm)};
    if (p.compute.view().data != p.master.view().data) step.compute = p.compute;
    if (has_ema()) step.ema = slot.ema;
    context.Run(step);
  }
}

std::vector<NamedArray> AdamW::ExportEma() const {
  SUFFICE_CHECK(has_ema());
  std::vector<NamedArray> arrays = parameters_->Export();
  for (NamedArray& named : arrays) {
    for (const Slot& slot : slots_) {
      if (slot.parameter->name == named.name) named.array = slot.ema.ToHost();
    }
  }
  return arrays;
}

template <class Body>
void AdamW::ForEachArray(const Body& body) const {
  for (const Slot& slot : slots_) {
    body("m/" + slot.parameter->name, slot.m);
    body("v/" + slot.parameter->name, slot.v);
    if (has_ema()) body("ema/" + slot.parameter->name, slot.ema);
  }
}

std::vector<NamedArray> AdamW::Export() const {
  std::vector<NamedArray> arrays;
  ForEachArray([&](const std::string& name, const Tensor& tensor) {
    arrays.push_back({name, tensor.ToHost()});
  });
  arrays.push_back({"steps", HostArray::From<int64_t>({1}, {{steps_}})});
  return arrays;
}

void AdamW::Import(const std::vector<NamedArray>& arrays, const std::string& source) {
  std::vector<NamedArray> moments;
  bool counted = false;
  for (const NamedArray& named : arrays) {
    if (named.name != "steps") {
      moments.push_back(named);
      continue;
    }
    if (named.array.dtype() != DType::kI64 || named.array.shape().elements() != 1 ||
        named.array.values<int64_t>()[0] < 0) {
      throw DataError("{}: steps: wanted one i64 that is not negative", source);
    }
    steps_ = named.array.values<int64_t>()[0];
    counted = true;
  }
  if (!counted) throw DataError("{}: steps: missing", source);
  std::vector<WantedArray> wanted;
  ForEachArray([&](const std::string& name, const Tensor& tensor) {
    wanted.push_back({name, tensor.shape()});
  });
  const std::vector<const HostArray*> found = MatchArrays(moments, wanted, source);
  size_t i = 0;
  ForEachArray([&](const std::string&, Tensor tensor) {
    tensor.CopyFromHost(found[i++]->Cast(DType::kF32));
  });
}

}  // namespace suffice
