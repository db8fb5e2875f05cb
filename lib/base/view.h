// SPDX-License-Identifier: Apache-2.0
// Shapes, and non-owning strided views of device memory: what every operation's parameters are made
// of. A view owns nothing and is passed by value. Above kernels/ its pointer is never dereferenced.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <string>

#include "lib/base/dtype.h"
#include "lib/base/error.h"

namespace suffice {

inline constexpr int kMaxRank = 6;

// Up to kMaxRank extents, row-major, outermost first.
struct Shape {
  int rank = 0;
  std::array<int64_t, kMaxRank> dims{};

  Shape() = default;
  Shape(std::initializer_list<int64_t> extents);
  int64_t operator[](int i) const { return dims[static_cast<size_t>(i)]; }
  int64_t& operator[](int i) { return dims[static_cast<size_t>(i)]; }
  int64_t elements() const;  // 1 for rank 0
  bool operator==(const Shape& other) const;
};
std::string ToString(const Shape& shape);  // "(1, 12, 32760, 128)"

// Where memory lives. kFake is the test device, whose memory the host cannot read.
enum class DeviceKind : uint8_t { kHost, kCuda, kFake };
struct Device {
  DeviceKind kind = DeviceKind::kHost;
  int index = 0;
  bool operator==(const Device&) const = default;
};

struct View {
  void* data = nullptr;
  DType dtype = DType::kF32;
  Shape shape;
  std::array<int64_t, kMaxRank> strides{};  // in elements; 0 repeats
  Device device;

  bool empty() const { return data == nullptr; }  // an optional operand that was not given
  int64_t dim(int i) const { return shape[i]; }
  int64_t stride(int i) const { return strides[static_cast<size_t>(i)]; }
  bool contiguous() const;
  size_t bytes() const { return static_cast<size_t>(shape.elements()) * SizeOf(dtype); }

  // Element (i...) of type T, for code below the seam.
  template <class T>
  T* ptr(std::initializer_list<int64_t> index = {}) const {
    SUFFICE_DCHECK(dtype == kDTypeOf<T>);
    int64_t offset = 0;
    int axis = 0;
    for (int64_t i : index) offset += i * stride(axis++);
    return static_cast<T*>(data) + offset;
  }

  View slice(int axis, int64_t begin, int64_t end) const;  // extents of one axis narrowed
  View transpose(int axis0, int axis1) const;
  View reshape(const Shape& shape) const;  // contiguous views only
};

View ContiguousView(void* data, DType dtype, const Shape& shape, Device device = {});

}  // namespace suffice
