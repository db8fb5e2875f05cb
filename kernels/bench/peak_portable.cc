// SPDX-License-Identifier: Apache-2.0
#include "kernels/bench/peak-inl.h"
#include "kernels/bench/peak.h"

namespace suffice::bench {
namespace {

struct PortableChain {
  typedef float F __attribute__((vector_size(16)));
  static F Set1(float x) { return F{x, x, x, x}; }
  static F Step(F sum, F x) { return sum * x + x; }
  static float First(F sum) { return sum[0]; }
};

}  // namespace

PeakLoop PeakLoopPortable() { return {12.0 * 4 * 2, &RunChains<PortableChain, 12>}; }

}  // namespace suffice::bench
