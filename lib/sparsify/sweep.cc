// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <optional>

#include "lib/base/error.h"
#include "lib/base/version.h"
#include "lib/policy/token_order.h"
#include "lib/sparsify/block_scores.h"
#include "lib/sparsify/inputs.h"
#include "lib/sparsify/sweep_mark.h"
#include "lib/sparsify/sweep_measure.h"
#include "lib/sparsify/verbs.h"
#include "lib/stats/inference.h"

namespace suffice::sparsify {
namespace {

template <class T>
void RequireSome(const char* key, const std::vector<T>& values) {
  if (values.empty()) throw UsageError("{}: none given", key);
}

std::vector<Setting> Settings(const SweepConfig& c) {
  RequireSome("rules", c.rules);
  RequireSome("orders", c.orders);
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
    if (rule != "topp") RequireSome("k", c.k);
    if (rule == "topp") RequireSome("p", c.p);
    if (rule == "hybrid") RequireSome("hybrid_p", c.hybrid_p);
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

HostArray Permuted(const TensorReader& reader, const std::string& object,
                   const std::vector<int32_t>& order) {
  const MappedArray array = MapFinite(reader, object);
  return array.dtype() == DType::kF32 ? Permute<float>(array, order)
                                      : Permute<BFloat16>(array, order);
}

Tensor Permuted(Context& context, const TensorReader& reader, const std::string& object,
                const std::vector<int32_t>& order) {
  return Tensor::FromHost(context, Permuted(reader, object, order));
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

// Three extents that a capture names, or none.
std::optional<Grid> ExtentsOf(const TensorReader& reader, const std::string& name) {
  const auto extents = reader.IntListAttribute("/", name);
  if (!extents) return std::nullopt;
  if (extents->size() != 3 || *std::min_element(extents->begin(), extents->end()) < 1) {
    throw DataError("{}: attribute {}: three positive extents are wanted", reader.path(), name);
  }
  return Grid{(*extents)[0], (*extents)[1], (*extents)[2]};
}

// The patches of the capture; without the attribute, tokens in a row, of which only raster speaks.
Grid GridOf(const TensorReader& reader, const std::string& group, int64_t tokens,
            const std::vector<std::string>& orders) {
  const auto extents = ExtentsOf(reader, "grid");
  if (!extents && orders != std::vector<std::string>{"raster"}) {
    throw DataError("{}: no attribute grid; orders other than raster need frames, rows, columns",
                    reader.path());
  }
  const Grid grid = extents.value_or(Grid{1, 1, tokens});
  if (Tokens(grid) != tokens) {
    throw DataError("{}: {}: {} tokens, the grid has {}", reader.path(), group, tokens,
                    Tokens(grid));
  }
  return grid;
}

// Token order as it was captured: sweeping starts from raster order whatever the model used.
std::vector<int32_t> FromCaptured(const TensorReader& reader, const Grid& grid,
                                  const std::vector<int32_t>& wanted) {
  const std::string name = reader.StringAttribute("/", "token-order").value_or("raster");
  if (name == "raster") return wanted;
  const std::vector<int32_t> captured =
      TokenOrder(grid, name, ExtentsOf(reader, "tile").value_or(Grid{1, 1, 1}));
  std::vector<int32_t> place(captured.size());
  for (size_t n = 0; n < captured.size(); ++n)
    place[static_cast<size_t>(captured[n])] = static_cast<int32_t>(n);
  std::vector<int32_t> order;
  for (const int32_t raster : wanted) order.push_back(place[static_cast<size_t>(raster)]);
  return order;
}

SweepMark MarkOf(RunScope& scope, const ShardPart& part) {
  return {part,
          {{"producer", Producer()},
           {"config-sha256", scope.config_sha256()},
           {"backend", scope.context().Describe()},
           {"qkv", scope.DigestOf(scope.Input("qkv"))}}};
}

// Every setting under every ranking, over all block rows and then over each group of them.
std::vector<SweepCase> Cases(const SweepConfig& config, const std::vector<Setting>& settings) {
  std::vector<SweepCase> cases;
  for (const std::string& scores : config.scores) {
    for (const Setting& setting : settings) {
      cases.push_back({setting, scores});
      for (int64_t group = 1; config.row_groups > 1 && group <= config.row_groups; ++group)
        cases.push_back({setting, scores, group, config.row_groups});
    }
  }
  return cases;
}

// Of the pooled map of every block row: layer by layer.
std::vector<std::vector<double>> Entropies(Context& context, const TensorReader& reader,
                                           const std::vector<std::string>& groups,
                                           const std::vector<int32_t>& order, BlockSize block) {
  std::vector<std::vector<double>> layers;
  for (const std::string& group : groups) {
    const Tensor q = Permuted(context, reader, InGroup(group, "q"), order),
                 k = Permuted(context, reader, InGroup(group, "k"), order);
    layers.push_back(RowEntropies(MeanScores(context, {q, k, k, block, {}, 0, {}})));
  }
  return layers;
}

}  // namespace

Report Sweep(const SweepConfig& config, RunScope& scope) {
  const TensorReader reader(scope.Input("qkv"));
  const std::vector<std::string> groups = LayerGroups(reader);
  const std::vector<Setting> settings = Settings(config);
  CheckScores(config.scores);
  const std::vector<SweepCase> cases = Cases(config, settings);
  const BlockSize block{static_cast<int>(config.block_q), static_cast<int>(config.block_k)};
  std::vector<double> flops;  // of dense attention, group by group
  Grid grid = {1, 1, 1};
  const Grid tile = ToGrid(config.tile);
  for (const std::string& group : groups) {
    const InputShapes shapes = CheckInputs(reader, group);
    if (shapes.q[2] != shapes.k[2])
      throw DataError("{}: {}: a sweep wants as many queries as keys", reader.path(), group);
    flops.push_back(4.0 * static_cast<double>(shapes.q.elements()) *
                    static_cast<double>(shapes.q[2]));
    grid = GridOf(reader, group, shapes.q[2], config.orders);
  }
  for (const std::string& order : config.orders) {
    TokenOrder(grid, order, tile);  // refuses an unknown order before anything runs
  }
  const auto rows = static_cast<int64_t>(config.orders.size() * cases.size());
  const ShardPart part = scope.TakePart(rows, "rows");
  SweepTable table(config.orders, cases, part.begin, part.end);
  // Those that this shard has a row of, and the last case of such a row.
  std::vector<std::pair<size_t, size_t>> orders;
  for (auto row = static_cast<size_t>(part.begin); row < static_cast<size_t>(part.end); ++row) {
    const size_t order = row / cases.size(), index = row % cases.size();
    if (orders.empty() || orders.back().first != order) orders.emplace_back(order, index);
    orders.back().second = index;
  }
  const bool grouped = config.row_groups > 1;
  const double passes = 1.5 * static_cast<double>(orders.size()) +
                        0.25 * static_cast<double>(part.items()) /
                            (grouped ? 1.0 + static_cast<double>(config.row_groups) : 1.0);
  Plan plan{.what = fmt::format("sweep {} settings over {} orders and {} layers", settings.size(),
                                orders.size(), groups.size())};
  const bool to_file = scope.Has("output") && scope.Output() != "-";
  const auto checkpoint = to_file ? scope.OpenCheckpoint() : std::nullopt;
  int64_t done = 0;
  if (checkpoint) {
    done = checkpoint->IntAttribute("/state", "done").value_or(0);
    table.Load(*checkpoint);
  }
  for (size_t step = static_cast<size_t>(done); step < orders.size() * groups.size(); ++step)
    plan.flops += flops[step % groups.size()] * passes / static_cast<double>(orders.size());
  if (!scope.Begin(plan)) return {};

  Context& context = scope.context();
  const auto save = [&](TensorWriter& writer) {
    writer.Attribute("/state", "done", done);
    table.Save(&writer);
  };
  const auto total = static_cast<int64_t>(orders.size() * groups.size());
  int64_t step = 0;
  const bool needs_keys =
      std::find(config.scores.begin(), config.scores.end(), "cumulant") != config.scores.end();
  for (const auto& [o, last_case] : orders) {
    const std::vector<int32_t> order =
        FromCaptured(reader, grid, TokenOrder(grid, config.orders[o], tile));
    // A group's bounds are those of all layers, so these are looked at before the first is
    // measured.
    std::vector<std::vector<double>> entropies;
    std::vector<double> all_entropies;
    if (grouped && step + std::ssize(groups) > done) {
      scope.progress().Activity("entropies of block rows, " + config.orders[o]);
      entropies = Entropies(context, reader, groups, order, block);
      for (const auto& layer : entropies)
        all_entropies.insert(all_entropies.end(), layer.begin(), layer.end());
    }
    for (size_t g = 0; g < groups.size(); ++g) {
      if (step++ < done) continue;
      if (to_file && scope.CheckpointDue()) scope.SaveCheckpoint(save);
      HostArray k = Permuted(reader, InGroup(groups[g], "k"), order);
      SweepLayer layer{Permuted(context, reader, InGroup(groups[g], "q"), order),
                       Tensor::FromHost(context, k),
                       Permuted(context, reader, InGroup(groups[g], "v"), order),
                       needs_keys ? std::move(k) : HostArray(),
                       {},
                       {}};
      if (grouped) {
        layer.entropies = entropies[g];
        layer.groups = GroupsOf(entropies[g], all_entropies, config.row_groups);
      }
      MeasureLayer(context, layer, block, cases, o, &table);
      done = step;
      const SweepRow& last = table.row(o, last_case);
      scope.progress().Step(
          step, total,
          fmt::format("{} {}: {} at density {:.4f}, mean relative L1 {:.4g}", config.orders[o],
                      groups[g], last.what.setting.name, last.pairs.density(), Mean(last.l1)));
    }
  }

  const std::string tsv = (scope.sharded() ? ShardLine(MarkOf(scope, part)) : "") + table.Tsv();
  if (scope.Has("output")) scope.WriteText(scope.Output(), tsv);
  return {.text = tsv,
          .json = table.Json(),
          .facts = {{"rows", std::to_string(part.items())},
                    {"settings", std::to_string(settings.size())},
                    {"layers", std::to_string(groups.size())}}};
}

}  // namespace suffice::sparsify
