// SPDX-License-Identifier: Apache-2.0
// Memory of a context's device under one contiguous view, and the random numbers that fill it.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/backend.h"
#include "lib/base/philox.h"

namespace suffice::bench {

class DeviceArray {
 public:
  DeviceArray() = default;
  DeviceArray(Context& context, DType dtype, const Shape& shape);
  ~DeviceArray();
  DeviceArray(DeviceArray&& other) noexcept;
  DeviceArray& operator=(DeviceArray&& other) noexcept;

  const View& view() const { return view_; }
  void Set(const void* values);  // view().bytes() bytes of host memory
  void Get(void* values) const;
  template <class T>
  std::vector<T> Values() const {
    std::vector<T> values(static_cast<size_t>(view_.shape.elements()));
    Get(values.data());
    return values;
  }

 private:
  Context* context_ = nullptr;
  View view_;
};

// Everything random in a benchmark: this seed, and streams from here on.
inline constexpr uint64_t kSeed = 1;
inline constexpr auto kStream = static_cast<uint32_t>(Stream::kTest);  // + 0 to 3: q, k, v, d_o
inline constexpr uint32_t kListStream = kStream + 4;
inline constexpr uint32_t kSampleStream = kStream + 5;
inline constexpr uint32_t kCountStream = kStream + 6;
inline constexpr uint32_t kTableStream = kStream + 7;  // and on: cos, sin, factors of the ceiling

// Standard normal values, bf16 or fp32, of stream kStream + which. A backend that draws normals
// (normal_fill) gives those of the host, bit for bit. On another device they are pieces of a table
// of 2^20 such values, laid at random offsets: a thousand million of them, drawn one by one on the
// host and copied, would take longer than everything that is timed.
DeviceArray NormalArray(Context& context, DType dtype, const Shape& shape, uint32_t which);

}  // namespace suffice::bench
