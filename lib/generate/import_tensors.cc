// SPDX-License-Identifier: Apache-2.0
#include "lib/generate/import_tensors.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <regex>

#include "lib/base/error.h"
#include "lib/io/npy.h"
#include "lib/io/safetensors.h"

namespace suffice::generate {
namespace {

using Json = nlohmann::ordered_json;

std::string ObjectOf(const std::string& name) {
  static const std::regex capture(R"(layers\.([0-9]+)\.([qkv]))");
  std::smatch parts;
  if (std::regex_match(name, parts, capture))
    return fmt::format("/layers/{}/{}", parts[1].str(), parts[2].str());
  return "/" + name;
}

HostArray Converted(const HostArray& array, const std::string& wanted, const std::string& where) {
  const DType found = array.dtype();
  if (wanted == "keep") return array;
  if (found != DType::kF32 && found != DType::kF64 && found != DType::kF16 &&
      found != DType::kBF16) {
    throw UsageError("{}: {} is not converted, as: keep takes it as it is", where, NameOf(found));
  }
  return array.Cast(wanted == "bf16" ? DType::kBF16 : DType::kF32);
}

// Where a tensor comes from: a safetensors file's name of it, or nothing for an npy.
struct Origin {
  std::string path;
  std::string name;
};

}  // namespace

bool IsArrayFile(const std::string& path) {
  const std::filesystem::path ending = std::filesystem::path(path).extension();
  return ending == ".safetensors" || ending == ".npy";
}

Report ImportTensors(const ImportConfig& config, RunScope& scope) {
  std::map<std::string, SafetensorsReader> readers;
  std::map<std::string, Origin> origins;  // by object
  for (const std::string& path : scope.Inputs("sources")) {
    const auto add = [&](const std::string& object, const std::string& name) {
      const auto [old, added] = origins.try_emplace(object, Origin{path, name});
      if (!added) throw DataError("{}: {}: in {} too", path, object, old->second.path);
    };
    if (path.ends_with(".npy")) {
      const std::string file = std::filesystem::path(path).filename();
      add("/" + file.substr(0, file.find('.')), "");
      continue;
    }
    const SafetensorsReader& reader = readers.try_emplace(path, path).first->second;
    for (const SafetensorInfo& info : reader.tensors()) add(ObjectOf(info.name), info.name);
  }
  if (!config.grid.empty() && config.grid.size() != 3)
    throw UsageError("grid: {} numbers, frames, rows, columns wanted", config.grid.size());
  if (!scope.Begin({.what = fmt::format("import {} tensors", origins.size())})) return {};

  TensorWriter writer = scope.NewFile(EncodingType::kCapture);
  Json list = Json::array();
  std::string text;
  for (const auto& [object, origin] : origins) {
    const HostArray read =
        origin.name.empty() ? ReadNpy(origin.path) : readers.at(origin.path).Read(origin.name);
    const std::string where = origin.path + ": " + object;
    RequireFinite(read, origin.path, object);
    const HostArray array = Converted(read, config.tensors_as, where);
    writer.Dataset(object, array);
    text += fmt::format("{}: {} {}\n", object, NameOf(array.dtype()), ToString(array.shape()));
    list.push_back({{"name", object},
                    {"type", NameOf(array.dtype())},
                    {"shape", ToString(array.shape())},
                    {"from", origin.path}});
  }
  if (!config.grid.empty()) writer.Attribute("/", "grid", config.grid);
  scope.Commit(std::move(writer));
  return {.text = text,
          .json = Json{{"output", scope.Output()}, {"tensors", list}}.dump() + "\n",
          .facts = {{"tensors", std::to_string(origins.size())}}};
}

}  // namespace suffice::generate
