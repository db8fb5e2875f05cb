// SPDX-License-Identifier: Apache-2.0
// Damaged files. A tensor file's mutant is refused by name or reads back identical: its metadata
// and its data carry checksums. A safetensors mutant is refused by name or is another valid file:
// that format has none.
#include "tests/io/mutate.h"

#include <atomic>
#include <functional>
#include <new>
#include <string_view>

#include "lib/io/safetensors.h"
#include "tests/io/io_testing.h"

namespace suffice {
namespace {

// Small, so that most damage hits metadata, but with every storage and link structure.
void WriteTarget(const std::string& path) {
  TensorWriter writer(path, ExampleHeader());
  writer.Dataset("/blocks/0/q", RandomArray(DType::kBF16, {4, 32}, 1),
                 {.storage = Storage::kMapped, .dims = {"rows", "D"}, .dtype = {}});
  writer.Dataset("/blocks/0/mask", RandomArray(DType::kU8, {64, 9}, 2),
                 {.storage = Storage::kPacked, .dims = {}, .dtype = {}});
  writer.Dataset("/scalar", RandomArray(DType::kF64, {}, 3));
  for (int i = 0; i < 10; ++i) {  // more than fits a compact group
    writer.Dataset("/many/" + std::to_string(i), RandomArray(DType::kI32, {2, 2}, 4));
  }
  const std::vector<std::string> names = {"box", "cup", "tree"};
  writer.Strings("/classes", names);
  for (int i = 0; i < 10; ++i) writer.Attribute("/contract", "n" + std::to_string(i), int64_t{i});
  writer.Attribute("/contract", "names", names);
  writer.Attribute("/run", "host", std::string("here"));
  writer.Commit();
}

// Without /run and /receipt a digest says nothing about damage there; these are read besides.
std::string ReadAll(const std::string& path) {
  const TensorReader reader(path);
  std::string all = reader.ContentDigest();
  for (const auto& [name, value] : reader.Attributes("/run")) {
    all += name + "=" + std::get<std::string>(value);
  }
  return all;
}

// Counts over child processes.
class SharedCount {
 public:
  SharedCount()
      : value_(new (mmap(nullptr, sizeof(*value_), PROT_READ | PROT_WRITE,
                         MAP_SHARED | MAP_ANONYMOUS, -1, 0)) std::atomic<int>(0)) {}
  ~SharedCount() { munmap(value_, sizeof(*value_)); }
  std::atomic<int>& operator*() { return *value_; }

 private:
  std::atomic<int>* value_;
};

// What `read` does to a damaged file: refuses it by name ("" is returned), or says what is wrong.
std::string Judge(const std::string& path, const std::function<std::string()>& read) {
  try {
    return read();
  } catch (const Error& error) {
    const bool by_name = std::string(error.what()).starts_with(path + ": ");
    return error.code() == ExitCode::kData && by_name ? "" : error.what();
  } catch (const std::exception& error) {
    return std::string("not our error: ") + error.what();
  }
}

void Fail(uint64_t seed, const std::string& problem) {
  ADD_FAILURE() << "seed " << seed << ": " << problem;
}

TEST(Mutate, TheGuardNamesTheSeedThatCrashes) {
  std::vector<std::string> seen;
  RunGuarded(
      250,
      [](uint64_t seed) -> std::string {
        if (seed == 3) raise(SIGSEGV);
        return seed == 249 ? "wrong" : "";
      },
      [&](uint64_t seed, const std::string& problem) {
        seen.push_back(std::to_string(seed) + " " + problem.substr(0, 7));
      });
  EXPECT_EQ(seen, (std::vector<std::string>{"3 crashed", "249 wrong"}));
}

TEST(Mutate, ATensorFileIsRefusedByNameOrReadsBackIdentical) {
  const TempFolder folder;
  const std::string path = folder / "m.h5";
  WriteTarget(path);
  const std::string good = ReadBytes(path);
  const std::string wanted = ReadAll(path);
  SharedCount identical;
  const auto body = [&](uint64_t seed) {
    WriteBytes(path, Mutate(good, seed));
    return Judge(path, [&]() -> std::string {
      if (ReadAll(path) != wanted) return "read something else";
      ++*identical;
      return {};
    });
  };
  RunGuarded(3000, body, Fail);
  RecordProperty("identical", *identical);
  EXPECT_GT(*identical, 0);
  EXPECT_LT(*identical, 1000);
}

TEST(Mutate, ASafetensorsFileIsRefusedByNameOrIsAnotherValidFile) {
  const TempFolder folder;
  const std::string path = folder / "m.safetensors";
  {
    SafetensorsWriter writer(path,
                             {{"blocks.0.q", DType::kBF16, {4, 6}},
                              {"blocks.0.k", DType::kF32, {3, 2}},
                              {"count", DType::kI64, {}},
                              {"none", DType::kU8, {0}}},
                             {{"format", "pt"}});
    writer.Write("count", RandomArray(DType::kI64, {}, 1));
    writer.Write("none", RandomArray(DType::kU8, {0}, 1));
    writer.Write("blocks.0.q", RandomArray(DType::kBF16, {4, 6}, 2));
    writer.Write("blocks.0.k", RandomArray(DType::kF32, {3, 2}, 3));
    writer.Commit();
  }
  const std::string good = ReadBytes(path);
  SharedCount valid;
  const auto body = [&](uint64_t seed) {
    const std::string bytes = Mutate(good, seed);
    WriteBytes(path, bytes);
    return Judge(path, [&]() -> std::string {
      const SafetensorsReader reader(path);
      // Valid: the tensors tile what follows the header, and each holds these bytes.
      size_t data = 0;
      for (const SafetensorInfo& info : reader.tensors()) {
        const HostArray array = reader.Read(info.name);
        data += array.bytes();
        if (info.end > bytes.size() || array.bytes() != info.end - info.begin ||
            std::string_view(bytes).substr(info.begin, array.bytes()) !=
                std::string_view(reinterpret_cast<const char*>(array.data()), array.bytes())) {
          return info.name + ": other bytes than the file's";
        }
      }
      size_t header = 0;
      for (size_t i = 8; i-- > 0;) header = header << 8 | static_cast<unsigned char>(bytes[i]);
      if (8 + header + data != bytes.size()) return "tensors that do not tile the data";
      ++*valid;
      return {};
    });
  };
  RunGuarded(2000, body, Fail);
  RecordProperty("valid", *valid);
  EXPECT_GT(*valid, 0);
  EXPECT_LT(*valid, 1500);
}

}  // namespace
}  // namespace suffice
