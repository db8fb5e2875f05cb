// SPDX-License-Identifier: Apache-2.0
// The machine's own ceiling: what its multiply-add instructions do when nothing else is in the way.
// Shares of it compare between machines and between days; seconds do not.
#pragma once

#include <cstdint>
#include <optional>

#include "kernels/backend.h"

namespace suffice::bench {

// GFLOP/s of all the context's threads together, a multiply-add being two: vdpbf16ps for bf16 on
// avx512bf16, fp32 multiply-adds of the context's instruction set otherwise (bf16 is widened
// there). Nothing for backends other than cpu.
std::optional<double> MeasurePeak(Context& context, DType dtype);

// One instruction set's loop: `run` does `rounds` rounds of `flops` each on the calling thread. Its
// result only keeps the compiler from dropping the work.
struct PeakLoop {
  double flops;
  float (*run)(int64_t rounds);
};
PeakLoop PeakLoopPortable();
PeakLoop PeakLoopAvx2();
PeakLoop PeakLoopAvx512();
PeakLoop PeakLoopAvx512Bf16();

}  // namespace suffice::bench
