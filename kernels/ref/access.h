// SPDX-License-Identifier: Apache-2.0
// Element access for the reference operations: any dtype, any strides, in double.
#pragma once

#include <cmath>
#include <initializer_list>

#include "lib/base/dtype.h"
#include "lib/base/view.h"

namespace suffice::ref {

inline int64_t OffsetOf(const View& v, std::initializer_list<int64_t> index) {
  int64_t offset = 0;
  int axis = 0;
  for (const int64_t i : index) offset += i * v.stride(axis++);
  return offset;
}

inline double Get(const View& v, std::initializer_list<int64_t> index) {
  const int64_t offset = OffsetOf(v, index);
  if (v.dtype == DType::kBF16) return double{ToFloat(static_cast<const BFloat16*>(v.data)[offset])};
  SUFFICE_DCHECK(v.dtype == DType::kF32);
  return double{static_cast<const float*>(v.data)[offset]};
}

inline void Set(const View& v, std::initializer_list<int64_t> index, double value) {
  const int64_t offset = OffsetOf(v, index);
  const float rounded = static_cast<float>(value);
  if (v.dtype == DType::kBF16) {
    static_cast<BFloat16*>(v.data)[offset] = ToBFloat16(rounded);
  } else {
    SUFFICE_DCHECK(v.dtype == DType::kF32);
    static_cast<float*>(v.data)[offset] = rounded;
  }
}

inline void Add(const View& v, std::initializer_list<int64_t> index, double value) {
  Set(v, index, Get(v, index) + value);
}

// A contiguous array or a matrix with any row stride, as one long row.
struct Flat {
  View v;
  int64_t columns;
  explicit Flat(const View& view)
      : v(view), columns(view.shape.rank > 0 ? view.dim(view.shape.rank - 1) : 1) {
    if (v.empty()) return;
    if (v.contiguous()) v = ContiguousView(v.data, v.dtype, {v.shape.elements()}, v.device);
  }
  double Get(int64_t i) const {
    return v.shape.rank == 1 ? ref::Get(v, {i}) : ref::Get(v, {i / columns, i % columns});
  }
  void Set(int64_t i, double x) const {
    v.shape.rank == 1 ? ref::Set(v, {i}, x) : ref::Set(v, {i / columns, i % columns}, x);
  }
};

// Activations and their derivatives. gelu is the tanh form: x (1 + tanh(u)) / 2 with
// u = sqrt(2 / pi) (x + 0.044715 x^3) (Hendrycks and Gimpel, arXiv 1606.08415, section 2).
inline double Sigmoid(double x) { return 1.0 / (1.0 + std::exp(-x)); }

inline constexpr double kGeluScale = 0.79788456080286535588;
inline constexpr double kGeluCubic = 0.044715;

}  // namespace suffice::ref
