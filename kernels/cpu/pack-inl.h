// SPDX-License-Identifier: Apache-2.0
// Between tensors in rows and operands in lanes.
#pragma once

#include <cstring>

#include "kernels/cpu/attention_tile.h"

namespace suffice::cpu {
namespace {

template <class V>
constexpr int Units(int dim) {
  return (dim + V::kUnitValues - 1) / V::kUnitValues;
}
// Units rounded up to whole vectors: the rows of a staging area.
template <class V>
constexpr int PaddedUnits(int dim) {
  return (Units<V>(dim) + V::kLanes - 1) / V::kLanes * V::kLanes;
}

template <class V>
[[gnu::always_inline]] inline typename V::F LoadValues(const float* p) {
  return V::Load(p);
}
template <class V>
[[gnu::always_inline]] inline typename V::F LoadValues(const uint16_t* p) {
  return V::LoadBf16(p);
}

// One row of a tensor as fp32, padded with zeros to whole vectors.
template <class V, class Input>
void WidenRow(const char* from, int dim, float* to) {
  const auto* values = reinterpret_cast<const Input*>(from);
  int d = 0;
  for (; d + V::kLanes <= dim; d += V::kLanes) V::Store(to + d, LoadValues<V>(values + d));
  if (d < dim) {
    Input tail[V::kLanes] = {};
    std::memcpy(tail, values + d, static_cast<size_t>(dim - d) * sizeof(Input));
    V::Store(to + d, LoadValues<V>(tail));
  }
}

// One row of a tensor as units, padded with zeros to PaddedUnits.
template <class V, class Input>
void StageRow(const char* from, int dim, float* to) {
  if constexpr (V::kUnitValues == 1) {
    WidenRow<V, Input>(from, dim, to);
  } else {
    const size_t bytes = static_cast<size_t>(dim) * sizeof(Input);
    std::memcpy(to, from, bytes);
    std::memset(reinterpret_cast<char*>(to) + bytes, 0,
                PaddedUnits<V>(dim) * sizeof(float) - bytes);
  }
}

// Up to kTile rows of a tensor, its first or those named by row_ids, side by side: to[unit][lane],
// lanes beyond the rows zero. `stage` holds kLanes * PaddedUnits values.
template <class V, class Input>
void PackLanes(Rows from, int rows, int dim, float* stage, float* to,
               const int64_t* row_ids = nullptr) {
  const int padded = PaddedUnits<V>(dim);
  const bool direct = V::kUnitValues * sizeof(Input) == sizeof(float) &&
                      dim == padded * V::kUnitValues && row_ids == nullptr;
  for (int lane = 0; lane < kTile; lane += V::kLanes) {
    const char* source = reinterpret_cast<const char*>(stage);
    int64_t source_bytes = padded * static_cast<int64_t>(sizeof(float));
    if (direct && lane + V::kLanes <= rows) {
      source = from.data + lane * from.stride_bytes;
      source_bytes = from.stride_bytes;
    } else {
      for (int i = 0; i < V::kLanes; ++i) {
        if (lane + i < rows) {
          const int64_t row = row_ids == nullptr ? lane + i : row_ids[lane + i];
          StageRow<V, Input>(from.data + row * from.stride_bytes, dim, stage + i * padded);
        } else {
          std::memset(stage + i * padded, 0, static_cast<size_t>(padded) * sizeof(float));
        }
      }
    }
    for (int u = 0; u < padded; u += V::kLanes) {
      V::Transpose([&](int i) { return V::LoadUnits(source + i * source_bytes + 4 * u); },
                   to + u * kTile + lane, kTile);
    }
  }
}

// from[dim][lane], times factor[lane], to rows of a tensor. `stage` holds kLanes * (dim padded to
// whole vectors) values; `from` has rows up to that padding.
template <class V, class Output>
void UnpackLanes(const float* from, const float* factor, int rows, int dim, float* stage, Rows to) {
  const int padded = (dim + V::kLanes - 1) / V::kLanes * V::kLanes;
  for (int lane = 0; lane < rows; lane += V::kLanes) {
    const auto f = V::Load(factor + lane);
    const int count = rows - lane < V::kLanes ? rows - lane : V::kLanes;
    const bool direct = sizeof(Output) == sizeof(float) && dim == padded && count == V::kLanes;
    float* rows_of_lanes =
        direct ? reinterpret_cast<float*>(to.data + lane * to.stride_bytes) : stage;
    const int64_t stride = direct ? to.stride_bytes / static_cast<int64_t>(sizeof(float)) : padded;
    for (int d = 0; d < padded; d += V::kLanes) {
      const float* column = from + d * kTile + lane;
      V::Transpose([&](int i) { return V::Mul(V::Load(column + i * kTile), f); }, rows_of_lanes + d,
                   stride);
    }
    if (direct) continue;
    for (int i = 0; i < count; ++i) {
      char* out = to.data + (lane + i) * to.stride_bytes;
      const float* row = stage + i * padded;
      if constexpr (sizeof(Output) == sizeof(float)) {
        std::memcpy(out, row, static_cast<size_t>(dim) * sizeof(float));
      } else {
        auto* narrow = reinterpret_cast<uint16_t*>(out);
        int d = 0;
        for (; d + V::kLanes <= dim; d += V::kLanes) V::StoreBf16(narrow + d, V::Load(row + d));
        if (d < dim) {
          uint16_t tail[V::kLanes];
          V::StoreBf16(tail, V::Load(row + d));
          std::memcpy(narrow + d, tail, static_cast<size_t>(dim - d) * sizeof(uint16_t));
        }
      }
    }
  }
}

template <class V, class Input>
void CopyRows(Rows from, int64_t rows, int dim, Rows to) {
  float row[kMaxDim];
  for (int64_t r = 0; r < rows; ++r) {
    StageRow<V, Input>(from.data + r * from.stride_bytes, dim, row);
    std::memcpy(to.data + r * to.stride_bytes, row,
                static_cast<size_t>(Units<V>(dim)) * sizeof(float));
  }
}

}  // namespace
}  // namespace suffice::cpu
