// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda_runtime_api.h>

#include "kernels/model_ops.h"

namespace suffice::cuda {

// q, and k where it is given: of one type and one head dimension or not, it makes no difference but
// for the time.
void LaunchQkNormRopePool(const QkNormRopePoolParams& p, cudaStream_t stream);

}  // namespace suffice::cuda
