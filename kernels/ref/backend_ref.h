// SPDX-License-Identifier: Apache-2.0
// The reference backend: naive loops in the order of the papers' formulas, double accumulators, one
// thread. Its job is to be obviously right.
#pragma once

#include "kernels/backend.h"

namespace suffice {

const Backend& RefBackend();

}  // namespace suffice
