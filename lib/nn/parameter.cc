// SPDX-License-Identifier: Apache-2.0
#include "lib/nn/parameter.h"

#include <cmath>
#include <map>

#include "lib/base/philox.h"

namespace suffice {

Init Init::Glorot(int64_t fan_in, int64_t fan_out) {
  return Normal(static_cast<float>(std::sqrt(2.0 / static_cast<double>(fan_in + fan_out))));
}

Parameter& ParameterSet::Add(const std::string& name, const Shape& shape, Init init) {
  SUFFICE_CHECK(Find(name) == nullptr);
  auto parameter = std::make_unique<Parameter>();
  parameter->name = name;
  parameter->shape = shape;
  parameter->init = init;
  parameter->master = Tensor(*context_, DType::kF32, shape);
  parameter->compute = parameter->matrix() && compute_ != DType::kF32
                           ? Tensor(*context_, compute_, shape)
                           : parameter->master;
  parameters_.push_back(std::move(parameter));
  return *parameters_.back();
}

Parameter* ParameterSet::Find(const std::string& name) const {
  for (const auto& parameter : parameters_) {
    if (parameter->name == name) return parameter.get();
  }
  return nullptr;
}

Parameter& ParameterSet::operator[](const std::string& name) const {
  Parameter* parameter = Find(name);
  SUFFICE_CHECK(parameter != nullptr);
  return *parameter;
}

int64_t ParameterSet::elements() const {
  int64_t sum = 0;
  for (const auto& parameter : parameters_) sum += parameter->shape.elements();
  return sum;
}

void ParameterSet::Initialize(uint64_t seed) {
  // Each parameter has 2^32 deviates of its own, so that changing one shape moves no other.
  uint64_t offset = 0;
  for (const auto& parameter : parameters_) {
    const Tensor& master = parameter->master;
    switch (parameter->init.kind) {
      case Init::Kind::kZero:
        context_->Run(FillParams{.out = master, .value = 0.0f});
        break;
      case Init::Kind::kOne:
        context_->Run(FillParams{.out = master, .value = 1.0f});
        break;
      case Init::Kind::kNormal:
        context_->Run(NormalFillParams{.out = master,
                                       .seed = seed,
                                       .stream = static_cast<uint32_t>(Stream::kInit),
                                       .offset = offset});
        context_->Run(AxpbyParams{.x = master, .out = master, .alpha = parameter->init.deviation});
        break;
    }
    offset += uint64_t{1} << 32;
  }
  RefreshCompute();
}

void ParameterSet::EnsureGradients() {
  for (const auto& parameter : parameters_) {
    if (!parameter->trainable || !parameter->grad.empty()) continue;
    parameter->grad = Tensor(*context_, DType::kF32, parameter->shape);
    context_->Run(FillParams{.out = parameter->grad});
  }
}

void ParameterSet::ZeroGradients() {
  for (const auto& parameter : parameters_) {
    if (!parameter->grad.empty()) context_->Run(FillParams{.out = parameter->grad});
  }
}

void ParameterSet::RefreshCompute() {
  for (const auto& parameter : parameters_) {
    if (parameter->compute.view().data == parameter->master.view().data) continue;
    context_->Run(AxpbyParams{.x = parameter->master, .out = parameter->compute});
  }
}

std::vector<NamedArray> ParameterSet::Export() const {
  std::vector<NamedArray> arrays;
  for (const auto& parameter : parameters_) {
    arrays.push_back({parameter->name, parameter->master.ToHost()});
  }
  return arrays;
}

void ParameterSet::Import(const std::vector<NamedArray>& arrays, const std::string& source) {
  std::vector<WantedArray> wanted;
  for (const auto& parameter : parameters_) wanted.push_back({parameter->name, parameter->shape});
  const std::vector<const HostArray*> found = MatchArrays(arrays, wanted, source);
  for (size_t i = 0; i < found.size(); ++i) {
    parameters_[i]->master.CopyFromHost(found[i]->Cast(DType::kF32));
  }
  RefreshCompute();
}

std::vector<const HostArray*> MatchArrays(const std::vector<NamedArray>& arrays,
                                          const std::vector<WantedArray>& wanted,
                                          const std::string& source) {
  std::map<std::string, const HostArray*> by_name;
  for (const NamedArray& named : arrays) {
    if (!by_name.emplace(named.name, &named.array).second) {
      throw DataError("{}: {}: given twice", source, named.name);
    }
  }
  std::vector<const HostArray*> found;
  for (const WantedArray& want : wanted) {
    const auto it = by_name.find(want.name);
    if (it == by_name.end()) throw DataError("{}: {}: missing", source, want.name);
    const HostArray& array = *it->second;
    if (!(array.shape() == want.shape)) {
      throw DataError("{}: {}: shape {}, the model wants {}", source, want.name,
                      ToString(array.shape()), ToString(want.shape));
    }
    if (array.dtype() != DType::kF32 && array.dtype() != DType::kBF16) {
      throw DataError("{}: {}: dtype {}, wanted f32 or bf16", source, want.name,
                      NameOf(array.dtype()));
    }
    found.push_back(&array);
    by_name.erase(it);
  }
  if (!by_name.empty()) {
    throw DataError("{}: {}: not in the model", source, by_name.begin()->first);
  }
  return found;
}

}  // namespace suffice
