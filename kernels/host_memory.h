// SPDX-License-Identifier: Apache-2.0
// The memory half of a backend whose device is the host: what ref and cpu share.
#pragma once

#include "kernels/backend.h"

namespace suffice {

// A table with its memory functions filled in and every operation missing.
Backend HostBackend(const char* name);

}  // namespace suffice
