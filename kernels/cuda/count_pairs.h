// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda_runtime_api.h>

#include "kernels/attention.h"

namespace suffice::cuda {

void LaunchCountPairs(const CountPairsParams& p, cudaStream_t stream);

}  // namespace suffice::cuda
