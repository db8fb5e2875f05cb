// SPDX-License-Identifier: Apache-2.0
// What backends whose device is the host share: memory, and what is counted rather than computed.
#pragma once

#include "kernels/backend.h"

namespace suffice {

// A table with its memory functions and count_pairs filled in and every other operation missing.
Backend HostBackend(const char* name);

}  // namespace suffice
