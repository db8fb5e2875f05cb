// SPDX-License-Identifier: Apache-2.0
// Rows of fp32 for tensor cores that multiply fp16. A row is scaled by a power of two so that its
// largest value lies in [2^8, 2^9), and each value is split into two fp16 numbers, high + low: 22
// bits of it, and never less than 33 bits below the row's largest. Rows that hold infinities or
// NaN, or lie beyond 2^60 either way, are left out. Nothing here needs the CUDA toolkit.
#pragma once

#include <cstdint>

namespace suffice::cuda {

// (rows, pitch) each of high and low; `unscale` (rows) undoes a row's scaling, 0 for one left out.
struct SplitRows {
  uint16_t* high = nullptr;
  uint16_t* low = nullptr;
  float* unscale = nullptr;
  int pitch = 0;
};

// Values of a row: whole groups of 64, those beyond the dimension 0.
inline int SplitPitch(int dim) { return (dim + 63) / 64 * 64; }

}  // namespace suffice::cuda
