// SPDX-License-Identifier: Apache-2.0
#include "lib/sparsify/inputs.h"

#include <cmath>

#include "lib/base/error.h"

namespace suffice::sparsify {
namespace {

// Finite without a copy: q, k, v may be most of the memory there is.
template <class T>
void CheckFinite(const MappedArray& array, const std::string& file, const std::string& object) {
  const auto values = array.values<T>();
  for (size_t i = 0; i < values.size(); ++i) {
    if (!std::isfinite(ToFloat(values[i]))) {
      throw DataError("{}: {}: element {} is not finite", file, object, i);
    }
  }
}

}  // namespace

MappedArray MapFinite(const TensorReader& reader, const std::string& object) {
  MappedArray array = reader.Map(object);
  if (array.dtype() == DType::kF32) {
    CheckFinite<float>(array, reader.path(), object);
  } else {
    CheckFinite<BFloat16>(array, reader.path(), object);
  }
  return array;
}

std::string InGroup(const std::string& group, const char* name) {
  return (group.ends_with('/') ? group : group + "/") + name;
}

InputShapes CheckInputs(const TensorReader& reader, const std::string& group) {
  const DatasetInfo& q = reader.Info(InGroup(group, "q"));
  if (q.is_strings || (q.dtype != DType::kF32 && q.dtype != DType::kBF16)) {
    throw DataError("{}: {}: type {}, f32 or bf16 wanted", reader.path(), q.path, q.type);
  }
  if (q.shape.rank != 4) {
    throw DataError("{}: {}: shape {}, (B, H, N, D) wanted", reader.path(), q.path,
                    ToString(q.shape));
  }
  const Shape wanted = {q.shape[0], -1, -1, q.shape[3]};
  const DatasetInfo& k = reader.Require(InGroup(group, "k"), q.dtype, wanted, "q");
  reader.Require(InGroup(group, "v"), q.dtype, k.shape, "k");
  for (const DatasetInfo* info : {&q, &k}) {
    if (info->shape.elements() == 0) {
      throw DataError("{}: {}: shape {}, which is empty", reader.path(), info->path,
                      ToString(info->shape));
    }
  }
  if (q.shape[1] % k.shape[1] != 0) {
    throw DataError("{}: {}: {} heads, not a multiple of k's {}", reader.path(), q.path, q.shape[1],
                    k.shape[1]);
  }
  if (q.shape[3] > 256)
    throw DataError("{}: {}: head dimension {}, at most 256", reader.path(), q.path, q.shape[3]);
  return {q.shape, k.shape, q.dtype};
}

HostInputs MapInputs(const TensorReader& reader, const std::string& group) {
  CheckInputs(reader, group);
  const auto map = [&](const char* name) {
    return std::make_shared<const MappedArray>(MapFinite(reader, InGroup(group, name)));
  };
  return {map("q"), map("k"), map("v")};
}

}  // namespace suffice::sparsify
