// SPDX-License-Identifier: Apache-2.0
#include <nlohmann/json.hpp>

#include "lib/base/error.h"
#include "lib/model/model_file.h"
#include "lib/sparsify/verbs.h"

namespace suffice::sparsify {

// The weights are those of the dense model, bit for bit; what is new is the contract.
Report Model(const Contract& config, RunScope& scope) {
  const std::string& path = scope.Input("model");
  const TensorReader reader(path, EncodingType::kModel);
  ModelInfo info = ReadModelInfo(reader);
  if (info.contract)
    throw UsageError("{}: has a contract already, and a contract never changes", path);
  if (config.settings.empty()) throw UsageError("settings: none; a policy names at least one");
  CheckSettings(config.settings, info.architecture.depth, info.architecture.heads, "config");
  const BlockSize block = config.block();
  if (!(block == BlockSize{128, 64}) && !(block == BlockSize{64, 64}) &&
      !(block == BlockSize{128, 128})) {
    throw UsageError("block {}x{}: 128x64, 64x64 or 128x128 wanted", block.q, block.k);
  }
  Contract contract = config;
  if (!contract.resolution.empty() && contract.resolution != info.resolution) {
    throw UsageError("resolution: the config's is not that of {}", path);
  }
  contract.resolution = info.resolution;
  // Positions go with the tokens, so that the order changes nothing of a dense model.
  info.architecture.token_order = contract.token_order;
  info.architecture.tile = contract.tile;
  CheckConfig(info.architecture, "config");
  info.contract = contract;
  if (!scope.Begin({.what = fmt::format("attach {} setting{} to {}", contract.settings.size(),
                                        contract.settings.size() == 1 ? "" : "s", path)}))
    return {};

  TensorWriter writer = scope.NewFile(EncodingType::kModel);
  const std::vector<NamedArray> weights = ReadWeights(reader);
  WriteModel(&writer, info, weights,
             weights.empty() ? DType::kBF16 : weights.front().array.dtype());
  scope.Commit(std::move(writer));
  std::string names;
  for (const Setting& setting : contract.settings)
    names += (names.empty() ? "" : ", ") + setting.name;
  const nlohmann::ordered_json json = {
      {"output", scope.Output()}, {"settings", names}, {"token_order", contract.token_order}};
  return {.text = fmt::format("{}: settings {}; blocks {}x{}, tokens in {} order\n", scope.Output(),
                              names, block.q, block.k, contract.token_order),
          .json = json.dump() + "\n",
          .facts = {{"settings", names}}};
}

}  // namespace suffice::sparsify
