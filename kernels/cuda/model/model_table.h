// SPDX-License-Identifier: Apache-2.0
// The operations of kernels/model_ops.h on CUDA.
#pragma once

#include "kernels/backend.h"

namespace suffice::cuda {

void AddModelTable(Backend& table);

}  // namespace suffice::cuda
