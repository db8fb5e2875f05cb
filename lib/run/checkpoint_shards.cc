// SPDX-License-Identifier: Apache-2.0
#include "lib/run/checkpoint_shards.h"

#include <algorithm>
#include <filesystem>
#include <regex>
#include <set>

#include "lib/base/error.h"

namespace suffice {
namespace {

constexpr char kArrays[] = "/state/arrays/", kGroup[] = "/state/arrays";

std::filesystem::path FolderOf(const std::string& path) {
  const std::filesystem::path folder = std::filesystem::path(path).parent_path();
  return folder.empty() ? "." : folder;
}

// Names beside `path` that are, or were to become, its shards, with their generation.
std::vector<std::pair<std::string, int64_t>> FindShards(const std::string& path) {
  const std::string name = std::filesystem::path(path).filename().string();
  const std::regex tail(R"(\.(\d{1,15})-\d{4}(\.tmp\.\d+)?)");
  std::vector<std::pair<std::string, int64_t>> found;
  for (const auto& entry : std::filesystem::directory_iterator(FolderOf(path))) {
    const std::string file = entry.path().filename().string();
    const size_t begin = file.starts_with('.') && !name.starts_with('.') ? 1 : 0;
    std::smatch match;
    const std::string rest = file.substr(std::min(file.size(), begin + name.size()));
    if (file.compare(begin, name.size(), name) == 0 && std::regex_match(rest, match, tail))
      found.emplace_back(file, std::stoll(match[1]));
  }
  return found;
}

std::vector<std::string> ShardsOf(const TensorReader& checkpoint) {
  return checkpoint.StringListAttribute(kRunGroup, "shards").value_or(std::vector<std::string>{});
}

std::string Mark(const std::string& id, size_t i, size_t count) {
  return fmt::format("{} {}/{}", id, i + 1, count);
}

void ReadInto(const TensorReader& file, std::vector<NamedArray>* arrays) {
  for (const DatasetInfo& dataset : file.datasets(kGroup))
    arrays->push_back({dataset.path.substr(sizeof(kArrays) - 1), file.Read(dataset.path)});
}

}  // namespace

void WriteArrays(TensorWriter* checkpoint, const std::vector<NamedArray>& arrays) {
  for (const NamedArray& named : arrays) checkpoint->Dataset(kArrays + named.name, named.array);
}

void WriteShards(TensorWriter* checkpoint, const std::string& checkpoint_path,
                 const FileHeader& header, const std::string& id,
                 const std::vector<NamedArray>& arrays, uint64_t bytes) {
  int64_t generation = 1;
  for (const auto& [name, other] : FindShards(checkpoint_path))
    generation = std::max(generation, other + 1);
  std::vector<std::vector<NamedArray>> shards;
  uint64_t left = 0;
  for (const NamedArray& named : arrays) {
    if (shards.empty() || named.array.bytes() > left) {
      shards.emplace_back();
      left = std::max<uint64_t>(bytes, named.array.bytes());
    }
    left -= named.array.bytes();
    shards.back().push_back(named);
  }
  std::vector<std::string> names;
  for (size_t i = 0; i < shards.size(); ++i) {
    const std::string path = fmt::format("{}.{}-{:04}", checkpoint_path, generation, i + 1);
    TensorWriter shard(path, header, {.force = true});
    shard.Attribute(std::string(kRunGroup), "shard", Mark(id, i, shards.size()));
    WriteArrays(&shard, shards[i]);
    shard.Commit();
    names.push_back(std::filesystem::path(path).filename().string());
  }
  checkpoint->Attribute(std::string(kRunGroup), "shards", names);
  checkpoint->Attribute(std::string(kRunGroup), "shard-id", id);
}

std::vector<NamedArray> ReadArrays(const TensorReader& checkpoint) {
  std::vector<NamedArray> arrays;
  ReadInto(checkpoint, &arrays);
  const std::vector<std::string> shards = ShardsOf(checkpoint);
  const std::string id = checkpoint.StringAttribute(kRunGroup, "shard-id").value_or("");
  for (size_t i = 0; i < shards.size(); ++i) {
    const std::string path = (FolderOf(checkpoint.path()) / shards[i]).string();
    if (shards[i].find('/') != std::string::npos)
      throw DataError("{}: shard '{}': not a file's name", checkpoint.path(), shards[i]);
    if (!std::filesystem::exists(path)) {
      throw DataError("{}: missing: shard {} of {} of {}", path, i + 1, shards.size(),
                      checkpoint.path());
    }
    const TensorReader shard(path, EncodingType::kCheckpoint);
    const std::string mark = shard.StringAttribute(kRunGroup, "shard").value_or("none");
    if (mark != Mark(id, i, shards.size()))
      throw DataError("{}: a shard of another checkpoint than {}", path, checkpoint.path());
    ReadInto(shard, &arrays);
  }
  return arrays;
}

void RemoveOtherShards(const std::string& checkpoint_path) {
  std::set<std::string> named;
  if (std::filesystem::exists(checkpoint_path)) {
    try {
      for (const std::string& name : ShardsOf(TensorReader(checkpoint_path))) named.insert(name);
    } catch (const Error&) {
      return;  // damaged: nobody knows what is its own
    }
  }
  std::error_code ignored;
  for (const auto& [name, generation] : FindShards(checkpoint_path)) {
    if (!named.contains(name)) std::filesystem::remove(FolderOf(checkpoint_path) / name, ignored);
  }
}

}  // namespace suffice
