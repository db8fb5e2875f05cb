// SPDX-License-Identifier: Apache-2.0
#include "lib/generate/import_tensors.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <string_view>

#include "lib/base/error.h"
#include "lib/io/npy.h"
#include "lib/io/safetensors.h"

namespace suffice::generate {
namespace {

using Json = nlohmann::ordered_json;

// layers.N.q becomes /layers/N/q, as captures name it; any other name is an object of the root.
std::string ObjectOf(const std::string& name) {
  constexpr std::string_view kLayers = "layers.";
  const size_t dot = name.rfind('.');
  if (!name.starts_with(kLayers) || dot <= kLayers.size()) return "/" + name;
  const std::string layer = name.substr(kLayers.size(), dot - kLayers.size());
  const std::string role = name.substr(dot + 1);
  const bool number = layer.find_first_not_of("0123456789") == std::string::npos;
  if (!number || (role != "q" && role != "k" && role != "v")) return "/" + name;
  return fmt::format("/layers/{}/{}", layer, role);
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
