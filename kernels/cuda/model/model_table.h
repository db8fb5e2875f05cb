// SPDX-License-Identifier: Apache-2.0
// The operations of kernels/model_ops.h on CUDA, but for the fused norm, rotation and pooling of q
// and k, which stands beside attention.
#pragma once

#include "kernels/backend.h"

namespace suffice::cuda {

void AddModelTable(Backend& table);

}  // namespace suffice::cuda
