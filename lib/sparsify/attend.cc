// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>

#include "lib/base/error.h"
#include "lib/base/philox.h"
#include "lib/sparsify/inputs.h"
#include "lib/sparsify/verbs.h"

namespace suffice::sparsify {
namespace {

using Json = nlohmann::ordered_json;

constexpr char kDensityFormula[] = "kept (query, key) token pairs / allowed pairs";

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

// The kept blocks as (B, H, T_q, T_k) bytes: what a person or another program reads.
HostArray MaskBytes(const AttentionResult& result, const Shape& q, int64_t t_q, int64_t t_k) {
  HostArray mask(DType::kU8, {q[0], q[1], t_q, t_k});
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

struct Loaded {
  AttentionInputs inputs;
  LoadedInputs tensors;
  Tensor given;
};

Loaded Load(const SelectionConfig& config, RunScope& scope, const TensorReader& reader) {
  Context& context = scope.context();
  Loaded loaded;
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

Plan MakePlan(const SelectionConfig& config, const InputShapes& shapes, bool output) {
  const Shape& q = shapes.q;
  const double pairs = static_cast<double>(q[0] * q[1]) * static_cast<double>(q[2]) *
                       static_cast<double>(shapes.k[2]);
  Plan plan{.what = fmt::format("{} attention of q {} on k {} {}", config.rule, ToString(q),
                                ToString(shapes.k), NameOf(shapes.dtype))};
  const double kept = config.rule == "dense" ? 1.0 : std::max(config.k.fraction(), 0.05);
  if (output) plan.flops = 4.0 * static_cast<double>(q[3]) * pairs * kept;
  const auto size = static_cast<uint64_t>(SizeOf(shapes.dtype));
  plan.memory_bytes = static_cast<uint64_t>(2 * q.elements() + 2 * shapes.k.elements()) * size +
                      static_cast<uint64_t>(q[0] * q[1] * q[2]) * 4 +
                      static_cast<uint64_t>(2 * shapes.k[2] * shapes.k[3]) * size +
                      (uint64_t{64} << 20);
  return plan;
}

void WriteMask(TensorWriter* writer, const AttentionResult& result, const AttentionInputs& in) {
  const int64_t t_q = BlockCount(in.q.dim(2), in.block.q),
                t_k = BlockCount(in.k.dim(2), in.block.k);
  writer->Dataset("/mask", MaskBytes(result, in.q.shape, t_q, t_k),
                  {.storage = Storage::kPacked,
                   .dims = {"batch", "head", "query block", "key block"},
                   .dtype = {}});
  writer->Attribute("/mask", "block", std::vector<int64_t>{in.block.q, in.block.k});
  writer->Attribute("/mask", "tokens", std::vector<int64_t>{in.q.dim(2), in.k.dim(2)});
  writer->Attribute("/mask", "causal", int64_t{in.mask.causal});
  writer->Attribute("/", "density", result.pairs.density());
  writer->Attribute("/", "density-formula", std::string(kDensityFormula));
}

// Rows whose kept mass is measured: all with --exact, else that many drawn without replacement.
std::vector<int64_t> SampledRows(int64_t n, int64_t count, uint64_t seed) {
  std::vector<int64_t> rows(static_cast<size_t>(n));
  std::iota(rows.begin(), rows.end(), 0);
  const int64_t wanted = std::min(n, count);
  for (int64_t i = 0; i < wanted; ++i) {
    const uint64_t bits =
        Philox(seed, static_cast<uint32_t>(Stream::kData), static_cast<uint64_t>(i))[0];
    const auto j = i + static_cast<int64_t>(bits * static_cast<uint64_t>(n - i) >> 32);
    std::swap(rows[static_cast<size_t>(i)], rows[static_cast<size_t>(j)]);
  }
  rows.resize(static_cast<size_t>(wanted));
  std::sort(rows.begin(), rows.end());
  return rows;
}

Json TimesJson(const StepSeconds& seconds) {
  return {{"pool", seconds.pool}, {"select", seconds.select}, {"attend", seconds.attend}};
}

}  // namespace

Report Attend(const AttendConfig& config, RunScope& scope) {
  const TensorReader reader(scope.Input("qkv"));
  const InputShapes shapes = CheckInputs(reader, config.at);
  const Setting setting = ToSetting(config);
  ToBlock(config);
  if (!scope.Begin(MakePlan(config, shapes, true))) return {};
  const Loaded loaded = Load(config, scope, reader);
  Context& context = scope.context();
  const LayerPlan plan = PlanLayer(setting, 0, shapes.q[1], 0);
  scope.progress().Activity("attending");
  const AttentionResult result = RunAttention(context, loaded.inputs, plan,
                                              loaded.given.empty() ? View{} : loaded.given.view());
  if (result.scores_nan) throw DataError("{}: the block scores are not numbers", reader.path());
  const double flops =
      4.0 * static_cast<double>(shapes.q[3]) * static_cast<double>(result.pairs.kept);
  Report report;
  report.text = fmt::format(
      "density {:.6f} ({}), sparsity {:.4f}\n{:.4g} GFLOP (4 D x kept pairs), attend {:.4f} s = "
      "{:.1f} GFLOP/s, pool {:.4f} s, select {:.4f} s\n",
      result.pairs.density(), kDensityFormula, 1 - result.pairs.density(), flops * 1e-9,
      result.seconds.attend, flops * 1e-9 / result.seconds.attend, result.seconds.pool,
      result.seconds.select);
  Json json = {{"density", result.pairs.density()},
               {"density_formula", kDensityFormula},
               {"gflop", flops * 1e-9},
               {"seconds", TimesJson(result.seconds)}};

  if (config.exact || config.sample_rows > 0) {
    scope.progress().Activity("measuring the kept mass");
    const std::vector<int64_t> rows =
        config.exact ? std::vector<int64_t>{}
                     : SampledRows(shapes.q[2], config.sample_rows, scope.seed());
    const std::vector<double> mass = KeptMass(context, loaded.inputs, result.lse, rows);
    const MassSummary summary = Summarize(mass);
    report.text += fmt::format("kept mass of {} rows: mean {:.6f}, p10 {:.6f}, min {:.6f}\n",
                               mass.size(), summary.mean, summary.p10, summary.min);
    json["kept_mass"] = {
        {"rows", mass.size()}, {"mean", summary.mean}, {"p10", summary.p10}, {"min", summary.min}};
  }
  if (config.exact) {
    scope.progress().Activity("comparing with dense attention");
    const AttentionResult dense =
        RunAttention(context, loaded.inputs, PlanLayer(DenseSetting(), 0, shapes.q[1], 0));
    const OutputError error = Compare(result.o.ToHost(), dense.o.ToHost());
    report.text +=
        fmt::format("error against dense: relative L1 {:.6g}, L2 {:.6g}\n", error.l1, error.l2);
    json["error"] = {{"relative_l1", error.l1}, {"relative_l2", error.l2}};
  }

  TensorWriter writer = scope.NewFile(EncodingType::kMask);
  writer.Dataset(
      "/o", HostContents(result.o).view(),
      {.storage = Storage::kMapped, .dims = {"batch", "head", "token", "channel"}, .dtype = {}});
  writer.Dataset("/lse", HostContents(result.lse).view(),
                 {.storage = Storage::kMapped, .dims = {"batch", "head", "token"}, .dtype = {}});
  WriteMask(&writer, result, loaded.inputs);
  scope.Commit(std::move(writer));
  report.json = json.dump() + "\n";
  report.facts = {{"density", fmt::format("{:.6f}", result.pairs.density())}};
  return report;
}

Report Mask(const MaskConfig& config, RunScope& scope) {
  const TensorReader reader(scope.Input("qkv"));
  const InputShapes shapes = CheckInputs(reader, config.at);
  const Setting setting = ToSetting(config);
  ToBlock(config);
  if (!scope.Begin(MakePlan(config, shapes, false))) return {};
  const Loaded loaded = Load(config, scope, reader);
  const AttentionResult result = RunAttention(
      scope.context(), loaded.inputs, PlanLayer(setting, 0, shapes.q[1], 0), {}, Wanted::kMaskOnly);
  if (result.scores_nan) throw DataError("{}: the block scores are not numbers", reader.path());
  TensorWriter writer = scope.NewFile(EncodingType::kMask);
  WriteMask(&writer, result, loaded.inputs);
  scope.Commit(std::move(writer));
  const Json json = {{"density", result.pairs.density()},
                     {"density_formula", kDensityFormula},
                     {"seconds", TimesJson(result.seconds)}};
  return {.text = fmt::format("density {:.6f} ({}), pool {:.4f} s, select {:.4f} s\n",
                              result.pairs.density(), kDensityFormula, result.seconds.pool,
                              result.seconds.select),
          .json = json.dump() + "\n",
          .facts = {{"density", fmt::format("{:.6f}", result.pairs.density())}}};
}

}  // namespace suffice::sparsify
