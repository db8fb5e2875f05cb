// SPDX-License-Identifier: Apache-2.0
// Owning arrays. A Tensor owns device memory through a context's backend; a HostArray owns plain
// host memory, which is what files are read into and written from.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "kernels/backend.h"
#include "lib/base/view.h"

namespace suffice {

// Row-major, contiguous, in host memory. Copies are deep; moves are cheap.
class HostArray {
 public:
  HostArray() = default;
  HostArray(DType dtype, const Shape& shape);  // zeros

  template <class T>
  static HostArray From(const Shape& shape, std::span<const T> values) {
    SUFFICE_CHECK(shape.elements() == static_cast<int64_t>(values.size()));
    HostArray array(kDTypeOf<T>, shape);
    std::copy(values.begin(), values.end(), array.values<T>().begin());
    return array;
  }

  DType dtype() const { return dtype_; }
  const Shape& shape() const { return shape_; }
  size_t bytes() const { return static_cast<size_t>(shape_.elements()) * SizeOf(dtype_); }
  bool empty() const { return data_.empty(); }
  std::byte* data() { return data_.data(); }
  const std::byte* data() const { return data_.data(); }
  View view();

  template <class T>
  std::span<T> values() {
    SUFFICE_CHECK(dtype_ == kDTypeOf<T>);
    return {reinterpret_cast<T*>(data_.data()), static_cast<size_t>(shape_.elements())};
  }
  template <class T>
  std::span<const T> values() const {
    SUFFICE_CHECK(dtype_ == kDTypeOf<T>);
    return {reinterpret_cast<const T*>(data_.data()), static_cast<size_t>(shape_.elements())};
  }

  // f32, f64, f16, bf16 -> f32 exactly (f64 rounds once); f32 -> bf16 by the project's rounding.
  // Integers convert to f32 where exact. Other pairs are a bug of the caller.
  HostArray Cast(DType wanted) const;

 private:
  DType dtype_ = DType::kF32;
  Shape shape_;
  std::vector<std::byte> data_;
};

// Doubles as a (n) array, and back: what checkpoints hold of a verb's sums.
HostArray ToArray(const std::vector<double>& values);
std::vector<double> ToDoubles(const HostArray& array);

// Device memory shared by the tensors and views made of it. Copying a Tensor shares.
class Tensor {
 public:
  Tensor() = default;
  Tensor(Context& context, DType dtype, const Shape& shape);  // contents undefined
  static Tensor Zeros(Context& context, DType dtype, const Shape& shape);
  static Tensor FromHost(Context& context, const HostArray& array);
  // Host memory that `owner` keeps, used in place where the device is the host and copied
  // otherwise. It must not be written through the tensor: it may be a mapped file.
  static Tensor Borrow(Context& context, const View& host, std::shared_ptr<const void> owner);

  // Waits for the stream. Contiguous tensors only.
  HostArray ToHost() const;
  void CopyFromHost(const HostArray& array);
  void CopyFrom(const Tensor& tensor);  // of one context; same dtype and shape

  const View& view() const { return view_; }
  operator const View&() const { return view_; }  // NOLINT: a tensor is used as its view everywhere
  DType dtype() const { return view_.dtype; }
  const Shape& shape() const { return view_.shape; }
  bool empty() const { return view_.empty(); }
  Context& context() const;

  // Share the memory of this tensor.
  Tensor Slice(int axis, int64_t begin, int64_t end) const;
  Tensor Transpose(int axis0, int axis1) const;
  Tensor Reshape(const Shape& shape) const;
  Tensor Like(const View& view) const;  // any view of this tensor's own memory

 private:
  struct Storage;
  std::shared_ptr<Storage> storage_;
  View view_;
};

// A tensor's contents for reading on the host: in place where the device is the host, else a copy.
class HostContents {
 public:
  explicit HostContents(const Tensor& tensor);  // contiguous; waits for the stream
  const View& view() const { return view_; }

 private:
  Tensor kept_;
  HostArray copy_;
  View view_;
};

}  // namespace suffice
