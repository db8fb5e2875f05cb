// SPDX-License-Identifier: Apache-2.0
// safetensors, the format that most weights are published in: 8 bytes with the header's
// length, a JSON header that gives each tensor a type, a shape and a range of the bytes after
// it, and these bytes.
//
// The reader is stricter than the reference reader. Refused besides what that refuses (lengths past
// the end, holes, overlaps, trailing bytes, sizes that do not fit type and shape, duplicate names):
// keys that the format does not have, missing keys, more than 100,000 tensors, ranks above 6, names
// that cannot name an HDF5 object, and element types of less than a byte. All errors are kData and
// name file, tensor and reason. The format carries no checksum: damaged data bytes go unnoticed.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/dtype.h"
#include "lib/base/view.h"
#include "lib/io/unique_fd.h"
#include "lib/tensor/tensor.h"

namespace suffice {

struct SafetensorInfo {
  std::string name;
  // The format's name for the type: F32, BF16, ... BOOL and F8_E4M3, F8_E5M2 are bytes to us (u8).
  std::string type;
  DType dtype = DType::kF32;
  Shape shape;
  uint64_t begin = 0;  // in the file
  uint64_t end = 0;
};

class SafetensorsReader {
 public:
  explicit SafetensorsReader(const std::string& path);
  SafetensorsReader(SafetensorsReader&&) noexcept = default;
  SafetensorsReader& operator=(SafetensorsReader&&) = delete;

  const std::string& path() const { return path_; }
  const std::vector<SafetensorInfo>& tensors() const { return tensors_; }  // sorted by name
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  bool Has(std::string_view name) const;
  const SafetensorInfo& Info(std::string_view name) const;  // a missing one is an error
  HostArray Read(std::string_view name) const;

 private:
  std::string path_;
  UniqueFd fd_;
  std::vector<SafetensorInfo> tensors_;
  std::map<std::string, std::string> metadata_;
};

// The file of each tensor, by name, that a shard index ("*.safetensors.index.json") lists: paths in
// the index's own folder. Shards elsewhere are refused.
std::map<std::string, std::string> ReadSafetensorsIndex(const std::string& path);

struct SafetensorSpec {
  std::string name;
  DType dtype = DType::kF32;
  Shape shape;
};

// Lays the tensors out as the reference writer does (wider elements first, then by name; the header
// padded with spaces to 8 bytes), so equal inputs give equal bytes. Tensors come in any order.
class SafetensorsWriter {
 public:
  SafetensorsWriter(const std::string& path, std::vector<SafetensorSpec> tensors,
                    const std::map<std::string, std::string>& metadata, bool force = false);
  ~SafetensorsWriter();
  void Write(const std::string& name, const HostArray& array);
  void Commit();  // all tensors were written

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace suffice
