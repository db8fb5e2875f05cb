// SPDX-License-Identifier: Apache-2.0
// One tile of a dense matrix product on one thread: oneDNN where the build has it, else plain
// loops.
#pragma once

#include <memory>
#include <string>

#include "kernels/backend.h"

namespace suffice::cpu {

// c (m, n) = a (m, k) b (k, n), or c += with accumulate. Strides are in elements; one of each
// operand's two is 1, and c's columns are contiguous.
struct GemmShape {
  int64_t m, n, k;
  int64_t a_row, a_column, b_row, b_column, c_row;
  DType in, out;  // out is `in` or fp32
  bool accumulate;
  auto operator<=>(const GemmShape&) const = default;
};

class Gemm {
 public:
  virtual ~Gemm() = default;
  virtual size_t scratch_bytes() const = 0;
  // From any thread, several at a time; `scratch` is the caller's own, 64-byte aligned.
  virtual void Run(const void* a, const void* b, void* c, void* scratch) const = 0;
};

// Whether products of bf16 operands run as they are; if not, the caller widens them to fp32.
bool GemmTakesBf16(CpuIsa isa);

// Made once for each shape and instruction set, then shared.
std::shared_ptr<const Gemm> FindGemm(const GemmShape& shape, CpuIsa isa);

// "oneDNN 2.6.3" or "oneDNN none (portable loops)", for --version -v.
std::string DescribeGemm();

namespace internal {
bool OneDnnUsable(CpuIsa isa);
std::shared_ptr<const Gemm> MakeOneDnnGemm(const GemmShape& shape);
std::string OneDnnVersion();
}  // namespace internal

}  // namespace suffice::cpu
