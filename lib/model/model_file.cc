// SPDX-License-Identifier: Apache-2.0
#include "lib/model/model_file.h"

#include <algorithm>

#include "lib/base/error.h"
#include "lib/config/yaml.h"
#include "lib/model/model_config.h"

namespace suffice {
namespace {

constexpr char kParams[] = "/params/";

std::string RequiredYaml(const TensorReader& reader, const std::string& group) {
  const auto text = reader.StringAttribute(group, "yaml");
  if (!text) throw DataError("{}: {}: attribute yaml is missing", reader.path(), group);
  return *text;
}

}  // namespace

ModelInfo ReadArchitecture(const TensorReader& reader) {
  const std::string& path = reader.path();
  ModelInfo info;
  LoadYaml(RequiredYaml(reader, "/architecture"), path + ": /architecture",
           FieldsOf(info.architecture), nullptr, ExitCode::kData);
  try {
    CheckConfig(info.architecture, path + ": /architecture");
  } catch (const Error& e) {
    throw DataError("{}", e.what());
  }
  info.resolution =
      reader.IntListAttribute("/architecture", "resolution").value_or(std::vector<int64_t>{});
  if (info.resolution.size() != 3 || std::any_of(info.resolution.begin(), info.resolution.end(),
                                                 [](int64_t x) { return x < 1 || x > 65536; })) {
    throw DataError("{}: /architecture: attribute resolution: frames, height, width wanted", path);
  }
  for (size_t axis = 0; axis < 3; ++axis) {
    if (info.resolution[axis] % info.architecture.patch[axis] != 0) {
      throw DataError("{}: /architecture: resolution {} is not whole patches of {}", path,
                      info.resolution[axis], info.architecture.patch[axis]);
    }
  }
  return info;
}

ModelInfo ReadModelInfo(const TensorReader& reader) {
  const std::string& path = reader.path();
  if (reader.header().encoding_type != EncodingType::kModel) {
    throw DataError("{}: a {} file, a model is wanted", path,
                    NameOf(reader.header().encoding_type));
  }
  ModelInfo info = ReadArchitecture(reader);
  if (info.architecture.classes > 0) {
    info.classes = reader.ReadStrings("/classes");
    if (static_cast<int64_t>(info.classes.size()) != info.architecture.classes) {
      throw DataError("{}: /classes: {} names, the architecture has {}", path, info.classes.size(),
                      info.architecture.classes);
    }
  }
  if (reader.HasGroup("/contract")) {
    Contract contract;
    LoadYaml(RequiredYaml(reader, "/contract"), path + ": /contract", FieldsOf(contract), nullptr,
             ExitCode::kData);
    if (contract.settings.empty()) throw DataError("{}: /contract: no settings", path);
    if (contract.token_order != info.architecture.token_order ||
        (contract.token_order == "tiles" && contract.tile != info.architecture.tile)) {
      throw DataError("{}: /contract: token order {}, the architecture has {}", path,
                      contract.token_order, info.architecture.token_order);
    }
    info.contract = std::move(contract);
  }
  return info;
}

std::vector<NamedArray> ReadWeights(const TensorReader& reader) {
  std::vector<NamedArray> weights;
  for (const DatasetInfo& dataset : reader.datasets("/params")) {
    weights.push_back({dataset.path.substr(sizeof(kParams) - 1), reader.ReadFinite(dataset.path)});
  }
  return weights;
}

std::unique_ptr<VideoDit> LoadModel(Context& context, const TensorReader& reader,
                                    const ModelInfo& info, DType compute) {
  auto model = std::make_unique<VideoDit>(context, info.architecture, compute);
  model->parameters().Import(ReadWeights(reader), reader.path());
  return model;
}

void WriteModel(TensorWriter* writer, const ModelInfo& info, const std::vector<NamedArray>& weights,
                DType stored) {
  ModelInfo copy = info;
  for (const NamedArray& weight : weights)
    writer->Dataset(kParams + weight.name, weight.array.Cast(stored));
  writer->Attribute("/architecture", "yaml", DumpYaml(FieldsOf(copy.architecture)));
  writer->Attribute("/architecture", "resolution", copy.resolution);
  if (!copy.classes.empty()) writer->Strings("/classes", copy.classes);
  if (copy.contract) writer->Attribute("/contract", "yaml", DumpYaml(FieldsOf(*copy.contract)));
}

}  // namespace suffice
