// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <nlohmann/json.hpp>

#include "lib/base/error.h"
#include "lib/policy/token_order.h"
#include "lib/sparsify/inputs.h"
#include "lib/sparsify/verbs.h"
#include "lib/stats/inference.h"

namespace suffice::sparsify {
namespace {

using Json = nlohmann::ordered_json;

// One line of the table: a setting under an order, over all layers and units of the capture.
struct Row {
  std::string order;
  Setting setting;
  PairCount pairs;
  std::vector<double> l1, l2, mass;
  double seconds = 0, dense_seconds = 0;
};

std::vector<Setting> Settings(const SweepConfig& c) {
  std::vector<Setting> settings;
  const auto add = [&](const std::string& rule, Ppm k, Ppm p, const std::string& name) {
    Setting setting;
    setting.name = name;
    setting.rule = rule;
    setting.k = k;
    setting.p = p;
    settings.push_back(std::move(setting));
  };
  for (const std::string& rule : c.rules) {
    if (rule == "topk") {
      for (const Ppm k : c.k) add(rule, k, {0}, "topk k=" + ToString(k));
    } else if (rule == "topp") {
      for (const Ppm p : c.p) add(rule, {0}, p, "topp p=" + ToString(p));
    } else if (rule == "hybrid") {
      for (const Ppm k : c.k) {
        for (const Ppm p : c.hybrid_p)
          add(rule, k, p, fmt::format("hybrid k={} p={}", ToString(k), ToString(p)));
      }
    } else {
      throw UsageError("rules: '{}' found, topk, topp or hybrid wanted", rule);
    }
  }
  CheckSettings(settings, 1, 1, "config");
  return settings;
}

// Tokens of every (b, h) in another order.
template <class T>
HostArray Permute(const MappedArray& array, const std::vector<int32_t>& order) {
  const Shape& shape = array.shape();
  HostArray result(array.dtype(), shape);
  const auto d = static_cast<size_t>(shape[3]), n = static_cast<size_t>(shape[2]);
  const T* from = array.values<T>().data();
  T* to = result.values<T>().data();
  for (size_t s = 0; s < static_cast<size_t>(shape[0] * shape[1]); ++s) {
    for (size_t t = 0; t < n; ++t) {
      std::copy_n(from + (s * n + static_cast<size_t>(order[t])) * d, d, to + (s * n + t) * d);
    }
  }
  return result;
}

Tensor Permuted(Context& context, const TensorReader& reader, const std::string& object,
                const std::vector<int32_t>& order) {
  const MappedArray array = MapFinite(reader, object);
  return Tensor::FromHost(context, array.dtype() == DType::kF32 ? Permute<float>(array, order)
                                                                : Permute<BFloat16>(array, order));
}

std::vector<std::string> LayerGroups(const TensorReader& reader) {
  std::vector<std::string> groups;
  if (reader.Has("/q")) groups.emplace_back("/");
  for (const std::string& group : reader.groups()) {
    if (group.starts_with("/layers/") && reader.Has(group + "/q")) groups.push_back(group);
  }
  if (groups.empty())
    throw DataError("{}: neither /q nor /layers/N/q: not a capture", reader.path());
  return groups;
}

std::string Table(const std::vector<Row>& rows) {
  std::string tsv =
      "order\trule\tk\tp\tdensity\trel_l1\trel_l2\tmass_mean\tmass_p10\tmass_min\tseconds\tdense_"
      "seconds\n";
  for (const Row& r : rows) {
    const MassSummary mass = Summarize(r.mass);
    tsv += fmt::format(
        "{}\t{}\t{}\t{}\t{:.6f}\t{:.6g}\t{:.6g}\t{:.6f}\t{:.6f}\t{:.6f}\t{:.6g}\t{:.6g}\n", r.order,
        r.setting.rule, r.setting.rule == "topp" ? "-" : ToString(r.setting.k),
        r.setting.rule == "topk" ? "-" : ToString(r.setting.p), r.pairs.density(), Mean(r.l1),
        Mean(r.l2), mass.mean, mass.p10, mass.min, r.seconds, r.dense_seconds);
  }
  return tsv;
}

// Token order as it was captured: sweeping starts from raster order whatever the model used.
std::vector<int32_t> FromCaptured(const TensorReader& reader, const TokenGrid& grid,
                                  const std::vector<int32_t>& wanted) {
  const std::string name = reader.StringAttribute("/", "token-order").value_or("raster");
  if (name == "raster") return wanted;
  const std::vector<int32_t> captured =
      TokenOrder(name, grid, reader.IntListAttribute("/", "tile").value_or(std::vector<int64_t>{}));
  std::vector<int32_t> place(captured.size());
  for (size_t n = 0; n < captured.size(); ++n)
    place[static_cast<size_t>(captured[n])] = static_cast<int32_t>(n);
  std::vector<int32_t> order;
  for (const int32_t raster : wanted) order.push_back(place[static_cast<size_t>(raster)]);
  return order;
}

}  // namespace

Report Sweep(const SweepConfig& config, RunScope& scope) {
  const TensorReader reader(scope.Input("qkv"));
  const std::vector<std::string> groups = LayerGroups(reader);
  const std::vector<Setting> settings = Settings(config);
  const BlockSize block{static_cast<int>(config.block_q), static_cast<int>(config.block_k)};
  double flops = 0;
  TokenGrid grid;
  for (const std::string& group : groups) {
    const InputShapes shapes = CheckInputs(reader, group);
    if (shapes.q[2] != shapes.k[2])
      throw DataError("{}: {}: a sweep wants as many queries as keys", reader.path(), group);
    flops += 4.0 * static_cast<double>(shapes.q.elements()) * static_cast<double>(shapes.q[2]);
    const auto extents = reader.IntListAttribute("/", "grid");
    if (extents && extents->size() == 3) {
      grid = {(*extents)[0], (*extents)[1], (*extents)[2]};
    } else if (config.orders == std::vector<std::string>{"raster"}) {
      grid = {1, 1, shapes.q[2]};
    } else {
      throw DataError("{}: no attribute grid; orders other than raster need frames, rows, columns",
                      reader.path());
    }
    if (grid.tokens() != shapes.q[2]) {
      throw DataError("{}: {}: {} tokens, the grid has {}", reader.path(), group, shapes.q[2],
                      grid.tokens());
    }
  }
  std::vector<Row> rows;
  for (const std::string& order : config.orders) {
    TokenOrder(order, grid, config.tile);  // refuses an unknown order before anything runs
    for (const Setting& setting : settings) rows.push_back({order, setting, {}, {}, {}, {}, 0, 0});
  }
  const double passes = static_cast<double>(config.orders.size()) *
                        (1.5 + 0.25 * static_cast<double>(settings.size()));
  Plan plan{.what = fmt::format("sweep {} settings over {} orders and {} layers", settings.size(),
                                config.orders.size(), groups.size()),
            .flops = flops * passes};
  const auto checkpoint =
      scope.Has("output") && scope.Output() != "-" ? scope.OpenCheckpoint() : std::nullopt;
  int64_t done = 0;
  if (checkpoint) {
    done = checkpoint->IntAttribute("/state", "done").value_or(0);
    for (size_t i = 0; i < rows.size(); ++i) {
      const std::string at = fmt::format("/state/rows/{}", i);
      rows[i].pairs = {checkpoint->IntAttribute(at, "kept").value_or(0),
                       checkpoint->IntAttribute(at, "allowed").value_or(0)};
      rows[i].seconds = checkpoint->FloatAttribute(at, "seconds").value_or(0);
      rows[i].dense_seconds = checkpoint->FloatAttribute(at, "dense-seconds").value_or(0);
      const auto load = [&](const char* name) {
        const HostArray array = checkpoint->Read(at + "/" + name);
        const auto values = array.values<double>();
        return std::vector<double>(values.begin(), values.end());
      };
      if (!checkpoint->Has(at + "/l1")) continue;
      rows[i].l1 = load("l1");
      rows[i].l2 = load("l2");
      rows[i].mass = load("mass");
    }
  }
  if (!scope.Begin(plan)) return {};

  Context& context = scope.context();
  const auto save = [&](TensorWriter& writer) {
    writer.Attribute("/state", "done", done);
    for (size_t i = 0; i < rows.size(); ++i) {
      const Row& row = rows[i];
      const std::string at = fmt::format("/state/rows/{}", i);
      writer.Attribute(at, "kept", row.pairs.kept);
      writer.Attribute(at, "allowed", row.pairs.allowed);
      writer.Attribute(at, "seconds", row.seconds);
      writer.Attribute(at, "dense-seconds", row.dense_seconds);
      if (row.l1.empty()) continue;
      const auto put = [&](const char* name, const std::vector<double>& values) {
        writer.Dataset(at + "/" + name,
                       HostArray::From<double>({static_cast<int64_t>(values.size())}, values));
      };
      put("l1", row.l1);
      put("l2", row.l2);
      put("mass", row.mass);
    }
  };
  const auto total = static_cast<int64_t>(config.orders.size() * groups.size());
  int64_t step = 0;
  for (size_t o = 0; o < config.orders.size(); ++o) {
    const std::vector<int32_t> order =
        FromCaptured(reader, grid, TokenOrder(config.orders[o], grid, config.tile));
    for (const std::string& group : groups) {
      if (step++ < done) continue;
      if (scope.Has("output") && scope.Output() != "-" && scope.CheckpointDue())
        scope.SaveCheckpoint(save);
      const Tensor q = Permuted(context, reader, InGroup(group, "q"), order);
      const Tensor k = Permuted(context, reader, InGroup(group, "k"), order);
      const Tensor v = Permuted(context, reader, InGroup(group, "v"), order);
      const AttentionInputs inputs{q, k, v, block, {}, 0};
      const AttentionResult dense =
          RunAttention(context, inputs, PlanLayer(DenseSetting(), 0, q.shape()[1], 0));
      const HostArray reference = dense.o.ToHost();
      const HostArray lse_full = dense.lse.ToHost();
      for (size_t s = 0; s < settings.size(); ++s) {
        Row& row = rows[o * settings.size() + s];
        const AttentionResult result =
            RunAttention(context, inputs, PlanLayer(settings[s], 0, q.shape()[1], 0));
        const OutputError error = Compare(result.o.ToHost(), reference);
        const HostArray lse = result.lse.ToHost();
        for (size_t i = 0; i < lse.values<float>().size(); ++i) {
          row.mass.push_back(std::min(
              1.0, std::exp(double{lse.values<float>()[i]} - double{lse_full.values<float>()[i]})));
        }
        row.l1.push_back(error.l1);
        row.l2.push_back(error.l2);
        row.pairs += result.pairs;
        row.seconds += result.seconds.total();
        row.dense_seconds += dense.seconds.attend;
      }
      done = step;
      const Row& last = rows[(o + 1) * settings.size() - 1];
      scope.progress().Step(
          step, total,
          fmt::format("{} {}: {} at density {:.4f}, relative L1 {:.4g}", config.orders[o], group,
                      last.setting.name, last.pairs.density(), last.l1.back()));
    }
  }

  const std::string tsv = Table(rows);
  if (scope.Has("output")) scope.WriteText(scope.Output(), tsv);
  Json json = Json::array();
  for (const Row& r : rows) {
    const MassSummary mass = Summarize(r.mass);
    json.push_back({{"order", r.order},
                    {"setting", r.setting.name},
                    {"density", r.pairs.density()},
                    {"relative_l1", Mean(r.l1)},
                    {"relative_l2", Mean(r.l2)},
                    {"kept_mass", {{"mean", mass.mean}, {"p10", mass.p10}, {"min", mass.min}}},
                    {"seconds", r.seconds},
                    {"dense_seconds", r.dense_seconds}});
  }
  return {.text = scope.Has("output") && scope.Output() == "-" ? "" : tsv,
          .json = json.dump() + "\n",
          .facts = {{"settings", std::to_string(settings.size())},
                    {"layers", std::to_string(groups.size())}}};
}

}  // namespace suffice::sparsify
