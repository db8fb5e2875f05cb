// SPDX-License-Identifier: Apache-2.0
// How CUDA's errors become ours.
#pragma once

#include <cuda_runtime_api.h>

namespace suffice::cuda {

// Throws kDevice for memory that is not there, kFailed for everything else: a device fault.
void Check(cudaError_t status, const char* what);

// After a launch: what could not be launched, or an earlier fault.
inline void CheckLaunch(const char* kernel) { Check(cudaGetLastError(), kernel); }

}  // namespace suffice::cuda
