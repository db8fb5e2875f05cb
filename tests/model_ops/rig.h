// SPDX-License-Identifier: Apache-2.0
// Operands for one run of one operation: inputs drawn by name, outputs poisoned with NaN, and every
// buffer kept so that two runs can be compared, gaps between rows included.
#pragma once

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "lib/base/philox.h"
#include "lib/tensor/tensor.h"

namespace suffice::testing {

inline constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

class Rig {
 public:
  Rig(Context& c, DType type) : context(c), dtype(type) {}

  // Normal deviates, the same for every rig, in order of the calls.
  View In(const Shape& shape) { return In(shape, dtype); }
  View In(const Shape& shape, DType type) { return Keep(Random(shape, type)).view(); }
  // A matrix whose rows are `gap` elements apart, NaN between them.
  View InRows(int64_t m, int64_t n, int64_t gap = 5) {
    HostArray padded = Filled({m, n + gap}, DType::kF32, kNan);
    const HostArray values = Random({m, n}, DType::kF32);
    for (int64_t i = 0; i < m; ++i) {
      for (int64_t j = 0; j < n; ++j) {
        padded.values<float>()[static_cast<size_t>(i * (n + gap) + j)] =
            values.values<float>()[static_cast<size_t>(i * n + j)];
      }
    }
    return Keep(padded.Cast(dtype)).view().slice(1, 0, n);
  }
  View Ids(std::vector<int32_t> ids) {
    return Keep(HostArray::From<int32_t>({static_cast<int64_t>(ids.size())}, ids)).view();
  }
  View Out(const Shape& shape) { return Out(shape, dtype); }
  View Out(const Shape& shape, DType type) { return Keep(Filled(shape, type, kNan)).view(); }
  View OutRows(int64_t m, int64_t n, DType type, int64_t gap = 3) {
    return Out({m, n + gap}, type).slice(1, 0, n);
  }
  // Read and written: starts random.
  View InOut(const Shape& shape, DType type) { return In(shape, type); }

  std::vector<HostArray> Buffers() const {
    std::vector<HostArray> buffers;
    for (const Tensor& tensor : tensors_) buffers.push_back(tensor.ToHost());
    return buffers;
  }

  Context& context;
  const DType dtype;
  float scale = 1.0f;

 private:
  static HostArray Filled(const Shape& shape, DType type, float value) {
    HostArray array(DType::kF32, shape);
    for (float& x : array.values<float>()) x = value;
    return array.Cast(type);
  }
  HostArray Random(const Shape& shape, DType type) {
    HostArray array(DType::kF32, shape);
    uint64_t i = 0;
    const auto stream = static_cast<uint32_t>(100 + tensors_.size());
    for (float& x : array.values<float>()) x = scale * NormalAt(7, stream, i++);
    return array.Cast(type);
  }
  const Tensor& Keep(const HostArray& array) {
    tensors_.push_back(Tensor::FromHost(context, array));
    return tensors_.back();
  }
  std::vector<Tensor> tensors_;
};

// ||x - y|| / ||y|| over the elements that are not NaN in y; infinite when NaNs are not at the same
// places.
inline double RelativeError(const HostArray& x, const HostArray& y) {
  if (x.dtype() == DType::kI32) {
    return std::equal(x.values<int32_t>().begin(), x.values<int32_t>().end(),
                      y.values<int32_t>().begin())
               ? 0.0
               : std::numeric_limits<double>::infinity();
  }
  const HostArray a = x.Cast(DType::kF32), b = y.Cast(DType::kF32);
  double error = 0.0, norm = 0.0;
  for (size_t i = 0; i < b.values<float>().size(); ++i) {
    const double found = double{a.values<float>()[i]}, wanted = double{b.values<float>()[i]};
    if (std::isnan(found) != std::isnan(wanted)) return std::numeric_limits<double>::infinity();
    if (std::isnan(wanted)) continue;
    error += (found - wanted) * (found - wanted);
    norm += wanted * wanted;
  }
  return norm == 0.0 ? std::sqrt(error) : std::sqrt(error / norm);
}

inline bool SameBits(const HostArray& x, const HostArray& y) {
  return x.bytes() == y.bytes() && std::equal(x.data(), x.data() + x.bytes(), y.data());
}

}  // namespace suffice::testing
