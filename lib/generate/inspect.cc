// SPDX-License-Identifier: Apache-2.0
#include "lib/generate/inspect.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>

#include "lib/base/digest.h"
#include "lib/base/error.h"
#include "lib/generate/verbs.h"
#include "lib/io/npy.h"
#include "lib/io/safetensors.h"

namespace suffice::generate {
namespace {

using Json = nlohmann::ordered_json;

std::string FirstBytes(const std::string& path) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"),
                                                             &std::fclose);
  if (!file) throw DataError("{}: {}", path, std::strerror(errno));
  std::string bytes(9, '\0');
  bytes.resize(std::fread(bytes.data(), 1, bytes.size(), file.get()));
  return bytes;
}

std::string DigestOf(const HostArray& array) {
  Sha256 hash;
  hash.Update(array.data(), array.bytes());
  return Hex(hash.Finish());
}

void InspectTensorFile(InspectReport& report) {
  const TensorReader reader(report.path);
  report.format = kTensorFormat;
  report.header = reader.header();
  std::map<std::string, std::string> hashes;
  report.content_digest = reader.ContentDigest(&hashes);
  for (const DatasetInfo& info : reader.datasets()) {
    const auto hash = hashes.find(info.path);
    report.tensors.push_back({info.path, info.type, info.shape, info.bytes(),
                              hash == hashes.end() ? DatasetDigest(reader, info) : hash->second,
                              info.storage == Storage::kMapped ? "mapped" : "packed", info.dims});
    AttributeMap attributes = reader.Attributes(info.path);
    for (const char* shown : {"xxh3", "dims"}) attributes.erase(shown);
    if (!attributes.empty()) report.attributes.emplace(info.path, std::move(attributes));
  }
  static const std::set<std::string> kHeader = {"format",   "encoding-type", "encoding-version",
                                                "producer", "config",        "config-sha256",
                                                "inputs",   "seed",          "backend"};
  for (const std::string& group : reader.groups()) {
    AttributeMap attributes = reader.Attributes(group);
    if (group == "/") {
      for (const std::string& name : kHeader) attributes.erase(name);
    }
    if (!attributes.empty()) report.attributes.emplace(group, std::move(attributes));
  }
}

void InspectSafetensors(InspectReport& report) {
  const SafetensorsReader reader(report.path);
  report.format = "safetensors";
  report.metadata = reader.metadata();
  for (const SafetensorInfo& info : reader.tensors()) {
    report.tensors.push_back({info.name,
                              info.type,
                              info.shape,
                              info.end - info.begin,
                              DigestOf(reader.Read(info.name)),
                              {},
                              {}});
  }
}

void InspectNpy(InspectReport& report) {
  const HostArray array = ReadNpy(report.path);
  report.format = "npy";
  report.tensors.push_back({"array",
                            std::string(NameOf(array.dtype())),
                            array.shape(),
                            array.bytes(),
                            DigestOf(array),
                            {},
                            {}});
}

std::string Indented(const std::string& text, const std::string& margin) {
  std::string out = margin;
  const std::string shown = Printable(text);
  for (size_t i = 0; i < shown.size(); ++i) {
    out += shown[i];
    if (shown[i] == '\n' && i + 1 < shown.size()) out += margin;
  }
  if (!out.ends_with('\n')) out += '\n';
  return out;
}

template <class T>
std::string Joined(const std::vector<T>& values) {
  std::string out;
  for (const T& value : values) out += (out.empty() ? "" : ", ") + fmt::format("{}", value);
  return "[" + Printable(out) + "]";
}

std::string ValueText(const AttributeValue& value) {
  if (const auto* text = std::get_if<std::string>(&value)) {
    return text->find('\n') == std::string::npos ? Printable(*text)
                                                 : "\n" + Indented(*text, "    ");
  }
  if (const auto* integer = std::get_if<int64_t>(&value)) return std::to_string(*integer);
  if (const auto* number = std::get_if<double>(&value)) return fmt::format("{}", *number);
  if (const auto* texts = std::get_if<std::vector<std::string>>(&value)) return Joined(*texts);
  if (const auto* integers = std::get_if<std::vector<int64_t>>(&value)) return Joined(*integers);
  return Joined(std::get<std::vector<double>>(value));
}

std::string Bytes(uint64_t bytes) {
  if (bytes < 10 * 1024) return fmt::format("{} B", bytes);
  const double kib = static_cast<double>(bytes) / 1024;
  if (kib < 10 * 1024) return fmt::format("{:.1f} KiB", kib);
  if (kib < 10.0 * 1024 * 1024) return fmt::format("{:.1f} MiB", kib / 1024);
  return fmt::format("{:.1f} GiB", kib / 1024 / 1024);
}

std::string TensorTable(const std::vector<InspectedTensor>& tensors) {
  size_t name_width = 4;
  size_t shape_width = 5;
  uint64_t total = 0;
  for (const InspectedTensor& tensor : tensors) {
    name_width = std::max(name_width, tensor.name.size());
    shape_width = std::max(shape_width, ToString(tensor.shape).size());
    total += tensor.bytes;
  }
  std::string out = fmt::format("tensors: {}, {}\n", tensors.size(), Bytes(total));
  for (const InspectedTensor& tensor : tensors) {
    std::string dims;
    for (const std::string& dim : tensor.dims) dims += (dims.empty() ? "  " : ",") + Printable(dim);
    out += fmt::format("  {:<{}}  {:<10}  {:<{}}  {:<6}  {}{}\n", tensor.name, name_width,
                       Printable(tensor.type), ToString(tensor.shape), shape_width, tensor.storage,
                       tensor.digest, dims);
  }
  return out;
}

Json ValueJson(const AttributeValue& value) {
  return std::visit([](const auto& held) { return Json(held); }, value);
}

Json HeaderJson(const FileHeader& header) {
  Json json = {{"encoding_type", NameOf(header.encoding_type)},
               {"encoding_version", header.encoding_version},
               {"producer", header.producer},
               {"config", header.config},
               {"config_sha256", header.config_sha256},
               {"inputs", header.inputs}};
  if (header.seed) json["seed"] = *header.seed;
  if (!header.backend.empty()) json["backend"] = header.backend;
  return json;
}

}  // namespace

InspectReport Inspect(const std::string& path) {
  InspectReport report;
  report.path = path;
  const std::string start = FirstBytes(path);
  if (start.starts_with("\x89HDF\r\n\x1a\n")) {
    InspectTensorFile(report);
    return report;
  }
  if (start.starts_with("\x93NUMPY")) {
    InspectNpy(report);
  } else if (start.size() == 9 && start[8] == '{') {
    InspectSafetensors(report);
  } else {
    throw DataError("{}: neither a tensor file (HDF5) nor safetensors nor npy", path);
  }
  report.content_digest = ContentDigest(path);
  return report;
}

std::string ToText(const InspectReport& report) {
  std::string out;
  const auto row = [&](std::string_view name, const std::string& value) {
    out += fmt::format("{:<16}{}\n", name, Printable(value));
  };
  row("file", report.path);
  row("format",
      report.header ? report.format + " " + report.header->encoding_version : report.format);
  if (report.header) row("encoding-type", std::string(NameOf(report.header->encoding_type)));
  row("content digest", report.content_digest);
  if (report.header) {
    const FileHeader& header = *report.header;
    row("producer", header.producer);
    if (!header.backend.empty()) row("backend", header.backend);
    if (header.seed) row("seed", std::to_string(*header.seed));
    for (const auto& [role, digest] : header.inputs) row("input " + role, digest);
    row("config", "sha256 " + header.config_sha256);
    if (!header.config.empty()) out += Indented(header.config, "  ");
  }
  for (const auto& [key, value] : report.metadata) row("metadata", key + ": " + value);
  out += TensorTable(report.tensors);
  for (const auto& [object, attributes] : report.attributes) {
    out += fmt::format("{}\n", object);
    for (const auto& [name, value] : attributes) {
      out += fmt::format("  {}: {}", name, ValueText(value));
      if (!out.ends_with('\n')) out += '\n';
    }
  }
  return out;
}

std::string ToJson(const InspectReport& report) {
  Json json = {
      {"path", report.path}, {"format", report.format}, {"content_digest", report.content_digest}};
  if (report.header) json["header"] = HeaderJson(*report.header);
  if (!report.metadata.empty()) json["metadata"] = report.metadata;
  json["tensors"] = Json::array();
  for (const InspectedTensor& tensor : report.tensors) {
    const std::vector<int64_t> extents(tensor.shape.dims.begin(),
                                       tensor.shape.dims.begin() + tensor.shape.rank);
    Json entry = {{"name", tensor.name},
                  {"type", tensor.type},
                  {"shape", extents},
                  {"bytes", tensor.bytes},
                  {"sha256", tensor.digest}};
    if (!tensor.storage.empty()) entry["storage"] = tensor.storage;
    if (!tensor.dims.empty()) entry["dims"] = tensor.dims;
    json["tensors"].push_back(std::move(entry));
  }
  Json objects = Json::object();
  for (const auto& [object, attributes] : report.attributes) {
    for (const auto& [name, value] : attributes) objects[object][name] = ValueJson(value);
  }
  if (!objects.empty()) json["attributes"] = std::move(objects);
  // A path may be any bytes: what is not UTF-8 in it is replaced, not thrown about.
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

Report InspectFile(const NoConfig&, RunScope& scope) {
  const std::string& path = scope.Input("file");
  if (!scope.Begin({.what = "inspect " + path})) return {};
  const InspectReport report = Inspect(path);
  return {.text = ToText(report), .json = ToJson(report)};
}

}  // namespace suffice::generate
