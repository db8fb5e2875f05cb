// SPDX-License-Identifier: Apache-2.0
// The CUDA forms of kernels/model_ops.h.
#pragma once

#include "kernels/backend.h"

namespace suffice {

void AddModelOpsCuda(Backend& table);

}  // namespace suffice
