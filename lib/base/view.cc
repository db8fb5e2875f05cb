// SPDX-License-Identifier: Apache-2.0
#include "lib/base/view.h"

#include <utility>

namespace suffice {

Shape::Shape(std::initializer_list<int64_t> extents) {
  SUFFICE_CHECK(extents.size() <= kMaxRank);
  for (int64_t extent : extents) dims[static_cast<size_t>(rank++)] = extent;
}

int64_t Shape::elements() const {
  int64_t product = 1;
  for (int i = 0; i < rank; ++i) product *= (*this)[i];
  return product;
}

bool Shape::operator==(const Shape& other) const {
  if (rank != other.rank) return false;
  for (int i = 0; i < rank; ++i) {
    if ((*this)[i] != other[i]) return false;
  }
  return true;
}

std::string ToString(const Shape& shape) {
  std::string text = "(";
  for (int i = 0; i < shape.rank; ++i) {
    text += fmt::format("{}{}", i == 0 ? "" : ", ", shape[i]);
  }
  return text + ")";
}

bool View::contiguous() const {
  int64_t expected = 1;
  for (int i = shape.rank - 1; i >= 0; --i) {
    if (shape[i] != 1 && stride(i) != expected) return false;
    expected *= shape[i];
  }
  return true;
}

View View::slice(int axis, int64_t begin, int64_t end) const {
  SUFFICE_CHECK(0 <= axis && axis < shape.rank && 0 <= begin && begin <= end && end <= dim(axis));
  View view = *this;
  view.data = static_cast<char*>(data) + begin * stride(axis) * static_cast<int64_t>(SizeOf(dtype));
  view.shape[axis] = end - begin;
  return view;
}

View View::transpose(int axis0, int axis1) const {
  View view = *this;
  std::swap(view.shape[axis0], view.shape[axis1]);
  std::swap(view.strides[static_cast<size_t>(axis0)], view.strides[static_cast<size_t>(axis1)]);
  return view;
}

View View::reshape(const Shape& wanted) const {
  SUFFICE_CHECK(contiguous() && wanted.elements() == shape.elements());
  return ContiguousView(data, dtype, wanted, device);
}

View ContiguousView(void* data, DType dtype, const Shape& shape, Device device) {
  View view{data, dtype, shape, {}, device};
  int64_t stride = 1;
  for (int i = shape.rank - 1; i >= 0; --i) {
    view.strides[static_cast<size_t>(i)] = stride;
    stride *= shape[i];
  }
  return view;
}

}  // namespace suffice
