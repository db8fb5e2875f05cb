// SPDX-License-Identifier: Apache-2.0
#include "lib/sparsify/selection.h"

#include <algorithm>
#include <cstring>

#include "lib/base/error.h"

namespace suffice::sparsify {
namespace {

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

}  // namespace

void CheckSelection(const SelectionConfig& c, const RunScope& scope) {
  const SelectionConfig standard;
  const bool selects = !scope.Has("mask"), some = selects && c.rule != "dense";
  const auto require = [&](const char* key, bool used, bool changed) {
    if (!used && changed)
      throw UsageError("{}: of no use with {}", key, selects ? "rule " + c.rule : "--mask");
  };
  require("rule", selects, c.rule != standard.rule);
  require("k", some && c.rule != "topp", !(c.k == standard.k));
  require("p", some && c.rule != "topk", !(c.p == standard.p));
  require("window", some, c.window != standard.window);
  require("pin_begin", some, c.pin_begin != standard.pin_begin);
  require("pin_end", some, c.pin_end != standard.pin_end);
  ToSetting(c);
  ToBlock(c);
}

LoadedSelection::LoadedSelection(const SelectionConfig& config, RunScope& scope,
                                 const TensorReader& reader)
    : scope_(scope),
      shapes_(CheckInputs(reader, config.at)),
      block_(ToBlock(config)),
      setting_(ToSetting(config)),
      mask_{config.causal},
      scale_(static_cast<float>(config.scale)),
      stream_(scope.context(), scope.options().context, MapInputs(reader, config.at),
              HeadGroups(shapes_, block_)) {
  if (!scope.Has("mask")) return;
  const TensorReader mask(scope.Input("mask"), EncodingType::kMask);
  const std::vector<int64_t> theirs =
      mask.IntListAttribute("/mask", "block").value_or(std::vector<int64_t>{});
  if (theirs != std::vector<int64_t>{block_.q, block_.k}) {
    throw UsageError(
        "{}: /mask: blocks of {}, the config wants {}x{}", mask.path(),
        theirs.size() == 2 ? fmt::format("{}x{}", theirs[0], theirs[1]) : "unknown size", block_.q,
        block_.k);
  }
  const Shape wanted = {shapes_.q[0], shapes_.q[1], t_q(), t_k()};
  const DatasetInfo& found = mask.Require("/mask", DType::kU8, {-1, -1, -1, -1}, "a selection");
  if (found.shape != wanted) {
    throw UsageError("{}: /mask: shape {}, the capture wants {}", mask.path(),
                     ToString(found.shape), ToString(wanted));
  }
  given_ = Tensor::FromHost(scope.context(), mask.Read("/mask"));
}

LoadedSelection::Part LoadedSelection::Attend(size_t index, Wanted wanted) {
  const HeadGroup& group = groups()[index];
  Part part;
  part.tensors = stream_.Take(index);
  part.inputs = {part.tensors.q, part.tensors.k, part.tensors.v, block_, mask_, scale_};
  const Tensor given =
      given_.empty()
          ? Tensor()
          : given_.Slice(0, group.batch, group.batch + 1).Slice(1, group.begin, group.end);
  part.result = RunAttention(scope_.context(), part.inputs,
                             PlanLayer(setting_, 0, group.end - group.begin, 0), given, wanted);
  if (part.result.scores_nan) {
    throw DataError("{}: the block scores are not numbers", scope_.Input("qkv"));
  }
  return part;
}

void LoadedSelection::Place(const HostArray& part, const HeadGroup& group, HostArray* whole) const {
  const auto head = static_cast<size_t>(group.batch * shapes_.q[1] + group.begin);
  const size_t head_bytes = part.bytes() / static_cast<size_t>(group.end - group.begin);
  std::memcpy(whole->data() + head * head_bytes, part.data(), part.bytes());
}

HostArray LoadedSelection::MaskOf(const AttentionResult& result, const HeadGroup& group) const {
  HostArray mask(DType::kU8, {1, group.end - group.begin, t_q(), t_k()});
  const auto bytes = mask.values<uint8_t>();
  if (result.lists.row_ptr.empty()) {
    std::fill(bytes.begin(), bytes.end(), uint8_t{1});
    return mask;
  }
  const HostArray ptr = result.lists.row_ptr.ToHost(), ids = result.lists.row_ids.ToHost();
  const auto offsets = ptr.values<int64_t>();
  for (size_t row = 0; row + 1 < offsets.size(); ++row) {
    for (int64_t e = offsets[row]; e < offsets[row + 1]; ++e) {
      bytes[row * static_cast<size_t>(t_k()) + ids.values<uint16_t>()[static_cast<size_t>(e)]] = 1;
    }
  }
  return mask;
}

void LoadedSelection::WriteMask(TensorWriter* writer, const HostArray& mask,
                                const PairCount& pairs) const {
  writer->Dataset("/mask", mask,
                  {.storage = Storage::kPacked,
                   .dims = {"batch", "head", "query block", "key block"},
                   .dtype = {}});
  writer->Attribute("/mask", "block", std::vector<int64_t>{block_.q, block_.k});
  writer->Attribute("/mask", "tokens", std::vector<int64_t>{shapes_.q[2], shapes_.k[2]});
  writer->Attribute("/mask", "causal", int64_t{mask_.causal});
  writer->Attribute("/", "density", pairs.density());
  writer->Attribute("/", "density-formula", std::string(kDensityFormula));
}

int64_t HeadsLeft(const SelectionConfig& config, const InputShapes& shapes, int64_t done) {
  int64_t heads = 0;
  for (const HeadGroup& group : HeadGroups(shapes, ToBlock(config))) {
    if (done-- <= 0) heads += group.end - group.begin;
  }
  return heads;
}

Plan PlanSelection(const SelectionConfig& config, const InputShapes& shapes, int64_t heads) {
  const Shape& q = shapes.q;
  const double pairs =
      static_cast<double>(heads) * static_cast<double>(q[2]) * static_cast<double>(shapes.k[2]);
  Plan plan{.what = fmt::format("{} attention of q {} on k {} {}", config.rule, ToString(q),
                                ToString(shapes.k), NameOf(shapes.dtype))};
  const double kept = config.rule == "dense" ? 1.0 : std::max(config.k.fraction(), 0.05);
  plan.flops = 4.0 * static_cast<double>(q[3]) * pairs * kept;
  const auto size = static_cast<uint64_t>(SizeOf(shapes.dtype));
  plan.memory_bytes = static_cast<uint64_t>(2 * q.elements() + 2 * shapes.k.elements()) * size +
                      static_cast<uint64_t>(q[0] * q[1] * q[2]) * 4 +
                      static_cast<uint64_t>(2 * shapes.k[2] * shapes.k[3]) * size +
                      (uint64_t{64} << 20);
  return plan;
}

}  // namespace suffice::sparsify
