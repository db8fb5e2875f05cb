// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace suffice {

std::string Hdf5LibraryVersion();  // "hdf5 1.10.8", of the library in use

}  // namespace suffice
