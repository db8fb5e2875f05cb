// SPDX-License-Identifier: Apache-2.0
// What a file is: its tensors with their digests, and what it says of itself.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "lib/io/tensor_file.h"

namespace suffice::generate {

struct InspectedTensor {
  std::string name;
  std::string type;  // as the file's format names it
  Shape shape;
  uint64_t bytes = 0;             // uncompressed
  std::string digest;             // SHA-256 of these bytes
  std::string storage;            // of a tensor file: "mapped" or "packed"
  std::vector<std::string> dims;  // names of the dimensions, where they have names
};

struct InspectReport {
  std::string path;
  std::string format;  // "suffice-tensor", "safetensors" or "npy"
  std::string content_digest;
  std::vector<InspectedTensor> tensors;  // sorted by name
  // Of a tensor file: the root's attributes, and those of every other object (the contract, the
  // run, the receipt, ...) but for the datasets' checksums and dimension names.
  std::optional<FileHeader> header;
  std::map<std::string, AttributeMap> attributes;
  std::map<std::string, std::string> metadata;  // of a safetensors file
};

// Reads the whole file: every checksum is judged and every digest computed. kData when it is
// damaged or of none of the three formats, which are told apart by their first bytes.
InspectReport Inspect(const std::string& path);

std::string ToText(const InspectReport& report);
std::string ToJson(const InspectReport& report);  // one object and a newline

}  // namespace suffice::generate
