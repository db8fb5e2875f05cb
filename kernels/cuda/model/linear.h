// SPDX-License-Identifier: Apache-2.0
// What a linear operation is made of where the library's product alone does not do: a product of
// our own, and one pass over its sums.
#pragma once

#include <cuda_runtime_api.h>

#include "kernels/cuda/model/values.h"
#include "kernels/model_ops.h"

namespace suffice::cuda {

// sums (M, N) fp32 = a b, for operands that cuBLASLt does not take; K may be zero.
void LaunchPlainProduct(const View& a, const View& b, float* sums, int64_t sums_stride,
                        cudaStream_t stream);

// out = residual + gate * act(sums + bias), with what lies between on the way. An operand without
// data is not there; sums, residual and out may be the same memory.
struct EpilogueArgs {
  Rows sums;  // fp32, or bf16 where out is
  Rows bias, pre_activation, ungated, gate, residual, out;
  int64_t rows = 0, columns = 0, rows_per_gate = 1;
  Activation activation = Activation::kNone;
};
void LaunchLinearEpilogue(const EpilogueArgs& a, cudaStream_t stream);

}  // namespace suffice::cuda
