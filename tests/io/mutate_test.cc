// SPDX-License-Identifier: Apache-2.0
// Damaged files. A tensor file's mutant is refused by name or reads back identical: its metadata
// and its data carry checksums. A safetensors mutant is refused by name or is another valid file:
// that format has none.
#include "tests/io/mutate.h"

#include <atomic>
#include <new>

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

TEST(Mutate, ATensorFileIsRefusedByNameOrReadsBackIdentical) {
  const TempFolder folder;
  const std::string path = folder / "m.h5";
  WriteTarget(path);
  const std::string good = ReadBytes(path);
  const std::string wanted = ReadAll(path);
  auto* identical = static_cast<std::atomic<int>*>(
      mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  new (identical) std::atomic<int>(0);
  RunGuarded(
      3000,
      [&](uint64_t seed) -> std::string {
        WriteBytes(path, Mutate(good, seed));
        try {
          if (ReadAll(path) != wanted) return "read something else";
          ++*identical;
        } catch (const Error& error) {
          if (error.code() != ExitCode::kData) return error.what();
          if (!std::string(error.what()).starts_with(path + ": ")) return error.what();
        } catch (const std::exception& error) {
          return std::string("not our error: ") + error.what();
        }
        return {};
      },
      [](uint64_t seed, const std::string& problem) {
        ADD_FAILURE() << "seed " << seed << ": " << problem;
      });
  RecordProperty("identical", *identical);
  EXPECT_GT(*identical, 0);
  EXPECT_LT(*identical, 1000);
  munmap(identical, 4096);
}

}  // namespace
}  // namespace suffice
