// SPDX-License-Identifier: Apache-2.0
// Launches of small kernels that follow one another: from sm_90 on the next one may be set up while
// the one before it ends (programmatic dependent launch), which hides a microsecond or two.
#pragma once

#include <cuda_runtime.h>

#include "kernels/cuda/launch.h"

namespace suffice::cuda {

#ifdef __CUDACC__

// In every kernel that LaunchNext launches, before it reads or writes global memory: everything
// before it has ended and can be read, also what the kernel before waited for itself. What a kernel
// does ahead of this, on shared memory and arguments alone, may run beside the kernel before.
__device__ inline void WaitForKernelBefore() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

// The next kernel may be set up once every CTA has come here or ended; before or after the wait.
__device__ inline void LetNextKernelStart() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

// Behind anything but a kernel this is a launch like any other.
template <class... Parameters, class... Arguments>
void LaunchNext(const char* what, void (*kernel)(Parameters...), dim3 grid, int threads,
                size_t shared_bytes, cudaStream_t stream, const Arguments&... arguments) {
  // Code for older GPUs, which a newer one may have translated, does not wait.
  cudaFuncAttributes code;
  Check(cudaFuncGetAttributes(&code, kernel), what);
  cudaLaunchAttribute early = {};
  early.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  early.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config = {};
  config.gridDim = grid;
  config.blockDim = static_cast<unsigned>(threads);
  config.dynamicSmemBytes = shared_bytes;
  config.stream = stream;
  config.attrs = &early;
  config.numAttrs = code.ptxVersion >= 90 ? 1 : 0;
  Check(cudaLaunchKernelEx(&config, kernel, arguments...), what);
}

#endif  // __CUDACC__

}  // namespace suffice::cuda
