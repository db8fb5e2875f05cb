// SPDX-License-Identifier: Apache-2.0
// The CUDA backend: NVIDIA GPUs from compute capability 8.0 on, with kernels of its own for Hopper.
#pragma once

#include "kernels/backend.h"

namespace suffice {

const Backend& CudaBackend();

}  // namespace suffice
