// SPDX-License-Identifier: Apache-2.0
// q, k, v out of a tensor file, mapped.
#pragma once

#include <memory>
#include <string>

#include "lib/io/tensor_file.h"
#include "lib/sparsify/attention_run.h"

namespace suffice::sparsify {

// A dataset of a tensor file, which must be bf16 or fp32 and finite (else kData).
MappedArray MapFinite(const TensorReader& reader, const std::string& object);

struct LoadedInputs {
  Tensor q, k, v;
};
struct HostInputs {
  std::shared_ptr<const MappedArray> q, k, v;
};

// `group` holds q, k and v. Throws kData for shapes that do not fit each other, a dtype other than
// bf16 and fp32, an extent of 0, and NaN or infinity.
HostInputs MapInputs(const TensorReader& reader, const std::string& group);

// The shapes alone, checked, before anything is read.
struct InputShapes {
  Shape q, k;
  DType dtype = DType::kF32;
};
InputShapes CheckInputs(const TensorReader& reader, const std::string& group);

std::string InGroup(const std::string& group, const char* name);  // "/layers/3" + "q"

}  // namespace suffice::sparsify
