// SPDX-License-Identifier: Apache-2.0
#include "lib/run/libraries.h"

#include "kernels/cpu/gemm.h"
#include "lib/base/digest.h"
#include "lib/io/library_version.h"

namespace suffice {

std::vector<std::string> LibraryVersions() {
  return {CryptoLibraryVersion(), Hdf5LibraryVersion(), cpu::DescribeGemm()};
}

}  // namespace suffice
