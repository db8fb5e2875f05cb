// SPDX-License-Identifier: Apache-2.0
// Our side of read_with_h5py.py:
//   write_example write OUT.h5       the example of io_testing.h
//   write_example digest FILE        its content digest
//   write_example npy IN.npy OUT.npy a copy through our reader and writer
#include <cstdio>
#include <string>

#include "lib/io/npy.h"
#include "tests/io/io_testing.h"

int main(int argc, char** argv) {
  const std::string verb = argc > 2 ? argv[1] : "";
  try {
    if (verb == "write") {
      suffice::WriteExample(argv[2]);
    } else if (verb == "digest") {
      std::puts(suffice::ContentDigest(argv[2]).c_str());
    } else if (verb == "npy" && argc == 4) {
      suffice::WriteNpy(argv[3], suffice::ReadNpy(argv[2]));
    } else {
      return 2;
    }
  } catch (const suffice::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return static_cast<int>(error.code());
  }
  return 0;
}
