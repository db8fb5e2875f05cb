// SPDX-License-Identifier: Apache-2.0
#include <nlohmann/json.hpp>

#include "lib/base/error.h"
#include "lib/sparsify/selection.h"

namespace suffice::sparsify {

Report Mask(const MaskConfig& config, RunScope& scope) {
  const TensorReader reader(scope.Input("qkv"));
  const InputShapes shapes = CheckInputs(reader, config.at);
  const Setting setting = ToSetting(config);
  ToBlock(config);
  if (!scope.Begin(PlanSelection(config, shapes, false))) return {};
  const LoadedSelection loaded = LoadSelection(config, scope, reader);
  const AttentionResult result = RunAttention(
      scope.context(), loaded.inputs, PlanLayer(setting, 0, shapes.q[1], 0), {}, Wanted::kMaskOnly);
  if (result.scores_nan) throw DataError("{}: the block scores are not numbers", reader.path());
  TensorWriter writer = scope.NewFile(EncodingType::kMask);
  const View &q = loaded.inputs.q, &k = loaded.inputs.k;
  const BlockSize block = loaded.inputs.block;
  WriteMask(&writer,
            MaskBytes(result, q.dim(0), q.dim(1), BlockCount(q.dim(2), block.q),
                      BlockCount(k.dim(2), block.k)),
            loaded.inputs, result.pairs);
  scope.Commit(std::move(writer));
  const nlohmann::ordered_json json = {
      {"density", result.pairs.density()},
      {"density_formula", kDensityFormula},
      {"seconds", {{"pool", result.seconds.pool}, {"select", result.seconds.select}}}};
  return {.text = fmt::format("density {:.6f} ({}), pool {:.4f} s, select {:.4f} s\n",
                              result.pairs.density(), kDensityFormula, result.seconds.pool,
                              result.seconds.select),
          .json = json.dump() + "\n",
          .facts = {{"density", fmt::format("{:.6f}", result.pairs.density())}}};
}

}  // namespace suffice::sparsify
