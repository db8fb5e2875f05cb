// SPDX-License-Identifier: Apache-2.0
// NumPy's .npy: one array a file. Versions 1 to 3 are read, in row-major order and little-endian,
// of numbers and booleans (which become u8); version 1 is written.
#pragma once

#include <string>

#include "lib/tensor/tensor.h"

namespace suffice {

// kData, naming the file and the reason, for anything else, pickled objects included.
HostArray ReadNpy(const std::string& path);

// kUsage for bf16, which the format does not have.
void WriteNpy(const std::string& path, const HostArray& array, bool force = false);

}  // namespace suffice
