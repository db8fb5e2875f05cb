// SPDX-License-Identifier: Apache-2.0
#include "lib/io/library_version.h"

#include <fmt/core.h>
#include <hdf5.h>

namespace suffice {

std::string Hdf5LibraryVersion() {
  unsigned major = 0, minor = 0, release = 0;
  H5get_libversion(&major, &minor, &release);
  return fmt::format("hdf5 {}.{}.{}", major, minor, release);
}

}  // namespace suffice
