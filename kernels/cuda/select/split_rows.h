// SPDX-License-Identifier: Apache-2.0
// The kernel that splits rows of fp32 into two fp16 numbers a value (split.h).
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "kernels/cuda/select/split.h"

namespace suffice::cuda {

// One tensor (batch, heads, rows, dim) to be split.
struct SplitJob {
  const float* data = nullptr;
  int64_t batch_stride = 0, head_stride = 0, row_stride = 0;
  int batch = 0, heads = 0, rows = 0;
  SplitRows out;
#ifdef __CUDACC__
  __host__ __device__
#endif
      int64_t
      all() const {
    return int64_t{batch} * heads * rows;
  }
};
void LaunchSplitRows(const SplitJob& q, const SplitJob& k, int dim, cudaStream_t stream);

}  // namespace suffice::cuda
