// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/backend.h"

namespace suffice::cuda {

void AddLinear(Backend& table);

}  // namespace suffice::cuda
