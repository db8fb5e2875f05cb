// SPDX-License-Identifier: Apache-2.0
// The third-party libraries in use, for --version -v.
#pragma once

#include <string>
#include <vector>

namespace suffice {

std::vector<std::string> LibraryVersions();  // "hdf5 1.10.8", ...

}  // namespace suffice
