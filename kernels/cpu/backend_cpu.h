// SPDX-License-Identifier: Apache-2.0
// The fast CPU backend: one source per instruction set, chosen at run time, and threads over
// independent outputs, so that results do not depend on how many threads there are.
#pragma once

#include "kernels/backend.h"

namespace suffice {

const Backend& CpuBackend();

}  // namespace suffice
