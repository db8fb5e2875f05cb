// SPDX-License-Identifier: Apache-2.0
// A program outside the tree that uses the installed library: writes a tensor file, reads it back.
#include <cstdio>
#include <string>

#include "lib/base/philox.h"
#include "lib/base/version.h"
#include "lib/io/tensor_file.h"

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  suffice::FileHeader header;
  header.encoding_type = suffice::EncodingType::kDataset;
  suffice::HostArray array(suffice::DType::kF32, {2, 3});
  uint64_t index = 0;
  for (float& x : array.values<float>()) x = suffice::NormalAt(7, 1, index++);
  suffice::TensorWriter writer(argv[1], header, {.force = true});
  writer.Dataset("/x", array);
  writer.Commit();
  const suffice::TensorReader reader(argv[1], suffice::EncodingType::kDataset);
  const suffice::HostArray read = reader.Read("/x");
  std::printf("suffice %s: %s\n", std::string(suffice::VersionFull()).c_str(),
              suffice::ContentDigest(argv[1]).c_str());
  return read.shape() == array.shape() && read.values<float>()[5] == array.values<float>()[5] ? 0
                                                                                              : 1;
}
