// SPDX-License-Identifier: Apache-2.0
// What the tests of lib/io share: a folder that disappears, a tensor file with one of everything.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "lib/base/error.h"
#include "lib/base/philox.h"
#include "lib/io/tensor_file.h"

namespace suffice {

class TempFolder {
 public:
  TempFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "suffice-io-XXXXXX").string();
    if (mkdtemp(pattern.data()) == nullptr) std::abort();
    path_ = pattern;
  }
  ~TempFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;
  std::string operator/(const std::string& name) const { return (path_ / name).string(); }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

inline std::string ReadBytes(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

inline void WriteBytes(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

inline HostArray RandomArray(DType dtype, const Shape& shape, uint32_t stream) {
  HostArray wide(DType::kF32, shape);
  uint64_t index = 0;
  for (float& x : wide.values<float>()) x = NormalAt(11, stream, index++);
  if (dtype == DType::kF32 || dtype == DType::kBF16) return wide.Cast(dtype);
  HostArray array(dtype, shape);  // small positive patterns: a valid value of every type
  for (size_t i = 0; i < array.bytes(); ++i) {
    array.data()[i] = static_cast<std::byte>(Philox(11, stream, i)[0] % 48);
  }
  return array;
}

inline FileHeader ExampleHeader() {
  return {.encoding_type = EncodingType::kModel,
          .config = "model:\n  width: 64\n",
          .inputs = {{"data", std::string(64, 'a')}, {"init", std::string(64, 'b')}},
          .seed = 7,
          .backend = "ref",
          .producer = "suffice test",
          .encoding_version = {},
          .config_sha256 = {}};
}

// Every type, both storages, a scalar, an empty dataset, strings, every kind of attribute, and
// enough members and attributes that libhdf5 moves them out of the object headers.
inline void WriteExample(const std::string& path, int64_t rows = 300, bool force = false) {
  TensorWriter writer(path, ExampleHeader(), {.force = force});
  uint32_t stream = 0;
  for (const DType dtype :
       {DType::kF32, DType::kF64, DType::kF16, DType::kBF16, DType::kI8, DType::kI16, DType::kI32,
        DType::kI64, DType::kU8, DType::kU16, DType::kU32, DType::kU64}) {
    writer.Dataset("/types/" + std::string(NameOf(dtype)), RandomArray(dtype, {5, 7}, ++stream));
  }
  writer.Dataset("/blocks/0/q", RandomArray(DType::kBF16, {rows, 128}, 20),
                 {.storage = Storage::kMapped, .dims = {"rows", "D"}, .dtype = {}});
  writer.Dataset("/blocks/0/mask", RandomArray(DType::kU8, {rows, 33}, 21),
                 {.storage = Storage::kPacked, .dims = {}, .dtype = {}});
  writer.Dataset("/blocks/1/fp8", RandomArray(DType::kU8, {4, 4}, 22),
                 {.storage = Storage::kMapped, .dims = {}, .dtype = "f8_e4m3fn"});
  writer.Dataset("/scalar", RandomArray(DType::kF32, {}, 23));
  writer.Dataset("/empty", HostArray(DType::kF32, {0, 8}),
                 {.storage = Storage::kPacked, .dims = {}, .dtype = {}});
  RowStream streamed = writer.OpenRows("/streamed", DType::kI32, {rows, 3},
                                       {.storage = Storage::kPacked, .dims = {}, .dtype = {}});
  for (int64_t row = 0; row < rows; row += 7) {
    const int64_t count = std::min<int64_t>(7, rows - row);
    streamed.Append(RandomArray(DType::kI32, {count, 3}, static_cast<uint32_t>(row) + 100));
  }
  streamed.Close();
  const std::vector<std::string> names = {"box", "", "tasse \xC3\xA0 th\xC3\xA9"};
  writer.Strings("/classes", names);
  writer.Group("/nothing");
  writer.Attribute("/contract", "rule", std::string("hybrid"));
  writer.Attribute("/contract", "blocks", std::vector<int64_t>{128, 64});
  writer.Attribute("/contract", "k", 0.125);
  writer.Attribute("/contract", "empty", std::string());
  writer.Attribute("/contract", "none", std::vector<std::string>());
  writer.Attribute("/contract", "p", std::vector<double>{0.5, 0.9});
  writer.Attribute("/contract", "names", names);
  writer.Attribute("/contract", "long", std::string(100000, 'x'));
  for (int i = 0; i < 12; ++i) writer.Attribute("/contract", "n" + std::to_string(i), int64_t{i});
  writer.Commit();
}

// Runs `body`, which must throw an Error with `code`; returns its message.
template <class Body>
std::string MessageOf(ExitCode code, Body&& body) {
  try {
    body();
  } catch (const Error& error) {
    EXPECT_EQ(static_cast<int>(error.code()), static_cast<int>(code)) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return {};
}

}  // namespace suffice
