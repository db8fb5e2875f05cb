// SPDX-License-Identifier: Apache-2.0
#include <nlohmann/json.hpp>

#include "lib/base/error.h"
#include "lib/sparsify/selection.h"

namespace suffice::sparsify {

Report Mask(const MaskConfig& config, RunScope& scope) {
  const TensorReader reader(scope.Input("qkv"));
  const InputShapes shapes = CheckInputs(reader, config.at);
  CheckSelection(config, scope);
  if (!scope.Begin(PlanSelection(config, shapes, 0))) return {};
  LoadedSelection loaded(config, scope, reader);
  HostArray mask(DType::kU8, {shapes.q[0], shapes.q[1], loaded.t_q(), loaded.t_k()});
  PairCount pairs;
  StepSeconds seconds;
  for (size_t g = 0; g < loaded.groups().size(); ++g) {
    const LoadedSelection::Part part = loaded.Attend(g, Wanted::kMaskOnly);
    loaded.Place(loaded.MaskOf(part.result, loaded.groups()[g]), loaded.groups()[g], &mask);
    pairs += part.result.pairs;
    seconds += part.result.seconds;
  }
  TensorWriter writer = scope.NewFile(EncodingType::kMask);
  loaded.WriteMask(&writer, mask, pairs);
  scope.Commit(std::move(writer));
  const nlohmann::ordered_json json = {
      {"density", pairs.density()},
      {"density_formula", kDensityFormula},
      {"seconds", {{"pool", seconds.pool}, {"select", seconds.select}}}};
  return {.text = fmt::format("density {:.6f} ({}), pool {:.4f} s, select {:.4f} s\n",
                              pairs.density(), kDensityFormula, seconds.pool, seconds.select),
          .json = json.dump() + "\n",
          .facts = {{"density", fmt::format("{:.6f}", pairs.density())}}};
}

}  // namespace suffice::sparsify
