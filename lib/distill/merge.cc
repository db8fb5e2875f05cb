// SPDX-License-Identifier: Apache-2.0
#include <nlohmann/json.hpp>

#include "lib/base/error.h"
#include "lib/distill/verbs.h"

namespace suffice::distill {

// In fp32, rounded once at the end.
Report Merge(const MergeConfig& config, RunScope& scope) {
  const TensorReader base_file(scope.Input("model"), EncodingType::kModel);
  const TensorReader a_file(scope.Input("from"), EncodingType::kModel),
      b_file(scope.Input("to"), EncodingType::kModel);
  const ModelInfo info = ReadModelInfo(base_file);
  ReadModelInfo(a_file);
  ReadModelInfo(b_file);
  std::vector<NamedArray> weights = ReadWeights(base_file);
  std::vector<WantedArray> wanted;
  for (const NamedArray& weight : weights) wanted.push_back({weight.name, weight.array.shape()});
  const std::vector<NamedArray> a_weights = ReadWeights(a_file), b_weights = ReadWeights(b_file);
  const std::vector<const HostArray*> a = MatchArrays(a_weights, wanted, a_file.path());
  const std::vector<const HostArray*> b = MatchArrays(b_weights, wanted, b_file.path());
  if (!scope.Begin({.what = fmt::format("{} + {:g} ({} - {})", base_file.path(), config.scale,
                                        b_file.path(), a_file.path())}))
    return {};
  for (size_t i = 0; i < weights.size(); ++i) {
    weights[i].array = weights[i].array.Cast(DType::kF32);
    const HostArray from = a[i]->Cast(DType::kF32), to = b[i]->Cast(DType::kF32);
    const auto out = weights[i].array.values<float>();
    for (size_t j = 0; j < out.size(); ++j) {
      out[j] +=
          static_cast<float>(config.scale) * (to.values<float>()[j] - from.values<float>()[j]);
    }
  }
  TensorWriter writer = scope.NewFile(EncodingType::kModel);
  WriteModel(&writer, info, weights, ParseDType(config.stored));
  scope.Commit(std::move(writer));
  return {
      .text = fmt::format("{}: {} tensors\n", scope.Output(), weights.size()),
      .json =
          nlohmann::ordered_json{{"output", scope.Output()}, {"tensors", weights.size()}}.dump() +
          "\n"};
}

}  // namespace suffice::distill
