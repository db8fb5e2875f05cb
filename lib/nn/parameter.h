// SPDX-License-Identifier: Apache-2.0
// Parameters: named fp32 masters, the copies that the forward pass reads, and their gradients.
//
// Memory: each parameter owns its master (fp32); a compute copy only if it is a matrix and the set
// computes in bf16 (vectors are read as fp32 masters); and a gradient (fp32) once EnsureGradients
// has been called. An optimiser owns its own moments.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "lib/tensor/tensor.h"

namespace suffice {

struct NamedArray {
  std::string name;
  HostArray array;
};

// How a parameter starts: zero, one, or normal deviates of this standard deviation.
struct Init {
  enum class Kind : uint8_t { kZero, kOne, kNormal } kind = Kind::kZero;
  float deviation = 0.0f;

  static Init Zero() { return {}; }
  static Init One() { return {Kind::kOne, 0.0f}; }
  static Init Normal(float deviation) { return {Kind::kNormal, deviation}; }
  // Glorot and Bengio (AISTATS 2010), Eq. 12: variance 2 / (fan_in + fan_out).
  static Init Glorot(int64_t fan_in, int64_t fan_out);
};

struct Parameter {
  std::string name;
  Shape shape;
  Init init;
  bool trainable = true;
  Tensor master;   // fp32
  Tensor compute;  // what the forward pass reads: the master itself, or its bf16 copy
  Tensor grad;     // fp32; empty until EnsureGradients

  bool matrix() const { return shape.rank > 1; }  // weight decay is for these
};

class ParameterSet {
 public:
  // compute: bf16 or fp32, the dtype of matrices in the forward pass.
  ParameterSet(Context& context, DType compute) : context_(&context), compute_(compute) {}

  // Names are unique. The reference stays valid.
  Parameter& Add(const std::string& name, const Shape& shape, Init init);
  Parameter& operator[](const std::string& name) const;  // a name that is there
  Parameter* Find(const std::string& name) const;        // or null

  // In the order in which they were added, which is the order in files.
  const std::vector<std::unique_ptr<Parameter>>& all() const { return parameters_; }
  int64_t elements() const;
  Context& context() const { return *context_; }
  DType compute_dtype() const { return compute_; }

  // Draws each parameter from (seed, Stream::kInit); the place in the set selects the deviates.
  void Initialize(uint64_t seed);
  void EnsureGradients();  // of trainable parameters
  void ZeroGradients();
  void RefreshCompute();  // after masters were written

  // Masters as fp32 arrays. Import wants every name of the set once, with its shape, and no other;
  // bf16 arrays are widened. Throws kData, naming `source`.
  std::vector<NamedArray> Export() const;
  void Import(const std::vector<NamedArray>& arrays, const std::string& source);

 private:
  Context* context_;
  DType compute_;
  std::vector<std::unique_ptr<Parameter>> parameters_;
};

// Names each array of `wanted` in `arrays` exactly once, in any order, and gives them in the order
// of `wanted`: the one check behind every import. Throws kData, naming `source`.
struct WantedArray {
  std::string name;
  Shape shape;
};
std::vector<const HostArray*> MatchArrays(const std::vector<NamedArray>& arrays,
                                          const std::vector<WantedArray>& wanted,
                                          const std::string& source);

}  // namespace suffice
