// SPDX-License-Identifier: Apache-2.0
#include "lib/sparsify/selection.h"

#include <algorithm>

#include "lib/base/error.h"

namespace suffice::sparsify {

Setting ToSetting(const SelectionConfig& c) {
  Setting setting;
  setting.name = c.rule;
  setting.rule = c.rule;
  setting.k = c.k;
  setting.p = c.p;
  setting.window = c.window;
  setting.pin_begin = c.pin_begin;
  setting.pin_end = c.pin_end;
  CheckSettings({setting}, 1, 1, "config");
  return setting;
}

BlockSize ToBlock(const SelectionConfig& c) {
  const BlockSize block{static_cast<int>(c.block_q), static_cast<int>(c.block_k)};
  if (block == BlockSize{128, 64} || block == BlockSize{64, 64} || block == BlockSize{128, 128})
    return block;
  throw UsageError("block {}x{}: 128x64, 64x64 or 128x128 wanted", block.q, block.k);
}

LoadedSelection LoadSelection(const SelectionConfig& config, RunScope& scope,
                              const TensorReader& reader) {
  Context& context = scope.context();
  LoadedSelection loaded;
  loaded.tensors = LoadInputs(context, reader, config.at);
  loaded.inputs = {loaded.tensors.q, loaded.tensors.k, loaded.tensors.v,
                   ToBlock(config),  {config.causal},  static_cast<float>(config.scale)};
  if (!scope.Has("mask")) return loaded;
  const TensorReader mask(scope.Input("mask"), EncodingType::kMask);
  const Shape& q = loaded.tensors.q.shape();
  const BlockSize block = loaded.inputs.block;
  const std::vector<int64_t> theirs =
      mask.IntListAttribute("/mask", "block").value_or(std::vector<int64_t>{});
  if (theirs != std::vector<int64_t>{block.q, block.k}) {
    throw UsageError(
        "{}: /mask: blocks of {}, the config wants {}x{}", mask.path(),
        theirs.size() == 2 ? fmt::format("{}x{}", theirs[0], theirs[1]) : "unknown size", block.q,
        block.k);
  }
  mask.Require(
      "/mask", DType::kU8,
      {q[0], q[1], BlockCount(q[2], block.q), BlockCount(loaded.tensors.k.shape()[2], block.k)},
      "the capture");
  loaded.given = Tensor::FromHost(context, mask.Read("/mask"));
  return loaded;
}

Plan PlanSelection(const SelectionConfig& config, const InputShapes& shapes, bool attends) {
  const Shape& q = shapes.q;
  const double pairs = static_cast<double>(q[0] * q[1]) * static_cast<double>(q[2]) *
                       static_cast<double>(shapes.k[2]);
  Plan plan{.what = fmt::format("{} attention of q {} on k {} {}", config.rule, ToString(q),
                                ToString(shapes.k), NameOf(shapes.dtype))};
  const double kept = config.rule == "dense" ? 1.0 : std::max(config.k.fraction(), 0.05);
  if (attends) plan.flops = 4.0 * static_cast<double>(q[3]) * pairs * kept;
  const auto size = static_cast<uint64_t>(SizeOf(shapes.dtype));
  plan.memory_bytes = static_cast<uint64_t>(2 * q.elements() + 2 * shapes.k.elements()) * size +
                      static_cast<uint64_t>(q[0] * q[1] * q[2]) * 4 +
                      static_cast<uint64_t>(2 * shapes.k[2] * shapes.k[3]) * size +
                      (uint64_t{64} << 20);
  return plan;
}

HostArray MaskBytes(const AttentionResult& result, int64_t batch, int64_t heads, int64_t t_q,
                    int64_t t_k) {
  HostArray mask(DType::kU8, {batch, heads, t_q, t_k});
  const auto bytes = mask.values<uint8_t>();
  if (result.lists.row_ptr.empty()) {
    std::fill(bytes.begin(), bytes.end(), uint8_t{1});
    return mask;
  }
  const HostArray ptr = result.lists.row_ptr.ToHost(), ids = result.lists.row_ids.ToHost();
  const auto offsets = ptr.values<int64_t>();
  for (size_t row = 0; row + 1 < offsets.size(); ++row) {
    for (int64_t e = offsets[row]; e < offsets[row + 1]; ++e) {
      bytes[row * static_cast<size_t>(t_k) + ids.values<uint16_t>()[static_cast<size_t>(e)]] = 1;
    }
  }
  return mask;
}

void WriteMask(TensorWriter* writer, const HostArray& bytes, const AttentionInputs& inputs,
               const PairCount& pairs) {
  writer->Dataset("/mask", bytes,
                  {.storage = Storage::kPacked,
                   .dims = {"batch", "head", "query block", "key block"},
                   .dtype = {}});
  writer->Attribute("/mask", "block", std::vector<int64_t>{inputs.block.q, inputs.block.k});
  writer->Attribute("/mask", "tokens", std::vector<int64_t>{inputs.q.dim(2), inputs.k.dim(2)});
  writer->Attribute("/mask", "causal", int64_t{inputs.mask.causal});
  writer->Attribute("/", "density", pairs.density());
  writer->Attribute("/", "density-formula", std::string(kDensityFormula));
}

}  // namespace suffice::sparsify
