// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <numeric>

#include "lib/base/error.h"
#include "lib/config/yaml.h"
#include "lib/generate/choice.h"
#include "lib/generate/verbs.h"
#include "lib/model/held_out.h"

namespace suffice::generate {
namespace {

using Json = nlohmann::ordered_json;

// The numbers asked for in ascending order, all of them if none is.
std::vector<int64_t> Chosen(std::vector<int64_t> asked, int64_t count, const char* what,
                            const std::string& path) {
  if (asked.empty()) {
    asked.resize(static_cast<size_t>(count));
    std::iota(asked.begin(), asked.end(), 0);
  }
  std::sort(asked.begin(), asked.end());
  if (asked.back() >= count)
    throw UsageError("{}s: {} was asked for, {} has {}", what, asked.back(), path, count);
  if (std::adjacent_find(asked.begin(), asked.end()) != asked.end())
    throw UsageError("{}s: one is given twice", what);
  return asked;
}

// Chosen heads of a layer's q, k or v (1, H, N, D) on the host; any strides, D contiguous.
HostArray HeadsOnHost(const Tensor& x, const std::vector<int64_t>& heads) {
  const View& view = x.view();
  int64_t span = 1;
  for (int axis = 0; axis < view.shape.rank; ++axis)
    span += (view.dim(axis) - 1) * view.stride(axis);
  const HostArray flat =
      x.Like(ContiguousView(view.data, view.dtype, {span}, view.device)).ToHost();
  const int64_t tokens = view.dim(2);
  const size_t item = SizeOf(view.dtype), row = static_cast<size_t>(view.dim(3)) * item;
  HostArray out(view.dtype, {1, static_cast<int64_t>(heads.size()), tokens, view.dim(3)});
  std::byte* to = out.data();
  for (const int64_t head : heads) {
    for (int64_t n = 0; n < tokens; ++n, to += row) {
      const auto from = static_cast<size_t>(head * view.stride(1) + n * view.stride(2));
      std::memcpy(to, flat.data() + from * item, row);
    }
  }
  return out;
}

struct LayerStreams {
  int64_t layer;
  RowStream q, k, v;
};

// One row of every dataset of a group for each unit.
struct UnitTable {
  std::vector<uint64_t> id;
  std::vector<int32_t> source, start;
  std::vector<double> t;

  void Write(TensorWriter* writer, const std::string& group) const {
    const auto put = [&](const char* name, const auto& values) {
      using T = typename std::decay_t<decltype(values)>::value_type;
      writer->Dataset(group + name,
                      HostArray::From<T>({static_cast<int64_t>(values.size())}, values));
    };
    put("id", id);
    put("source", source);
    put("start", start);
    put("t", t);
  }
  void Read(const TensorReader& file, const std::string& group) {
    const auto get = [&](const char* name, auto* values) {
      using T = typename std::decay_t<decltype(*values)>::value_type;
      const HostArray array = file.Read(group + name);
      values->assign(array.values<T>().begin(), array.values<T>().end());
    };
    get("id", &id);
    get("source", &source);
    get("start", &start);
    get("t", &t);
  }
};

constexpr char kUnits[] = "/units/", kSavedUnits[] = "/state/units/";

template <class Streams, class Function>
void ForEach(Streams& streams, Function&& function) {
  for (auto& stream : streams) {
    function(fmt::format("/state/{}/q", stream.layer), stream.q);
    function(fmt::format("/state/{}/k", stream.layer), stream.k);
    function(fmt::format("/state/{}/v", stream.layer), stream.v);
  }
}

// A checkpoint is as large as what was captured, so it is written on a stop alone.
void Save(std::vector<LayerStreams>& streams, const UnitTable& table, TensorWriter* writer) {
  table.Write(writer, kSavedUnits);
  const auto units = static_cast<int64_t>(table.id.size());
  ForEach(streams, [&](const std::string& path, RowStream& from) {
    if (units == 0) return;
    const HostArray first = from.Read(0, 1);
    Shape shape = first.shape();
    shape[0] = units;
    RowStream to = writer->OpenRows(path, first.dtype(), shape);
    for (int64_t unit = 0; unit < units; ++unit) to.Append(from.Read(unit, 1));
    to.Close();
  });
}

void Restore(const TensorReader& checkpoint, std::vector<LayerStreams>* streams, UnitTable* table) {
  table->Read(checkpoint, kSavedUnits);
  if (table->id.empty()) return;
  ForEach(*streams, [&](const std::string& path, RowStream& to) {
    const MappedArray saved = checkpoint.Map(path);
    to.Append(saved.data(), saved.shape()[0]);
  });
}

}  // namespace

Report Capture(const CaptureConfig& config, RunScope& scope) {
  const std::string &path = scope.Input("model"), &data_path = scope.Input("data");
  if (config.times.empty()) throw UsageError("times: none given");
  const Choice choice = ChooseSetting(scope, config.setting);
  const VideoDitConfig& a = choice.info.architecture;
  const std::vector<int64_t> layers = Chosen(config.layers, a.depth, "layer", path),
                             heads = Chosen(config.heads, a.heads, "head", path);
  scope.progress().Activity("reading " + data_path);
  const ClipDataset data = ClipDataset::Read(data_path);
  RequireClips(choice, data, data_path);
  Context& context = scope.context();
  const std::unique_ptr<VideoDit> model = Load(context, choice, config.compute);
  const Shape clip = choice.info.ClipShape(1);
  const TokenGeometry& geometry = model->GeometryOf(clip);
  const auto rounds = static_cast<int64_t>(config.times.size());
  // A draw is not cut: its times stay together.
  const ShardPart part = scope.TakePart(config.draws * rounds, "units", rounds);
  const int64_t units = part.items();
  const Shape shape = {units, static_cast<int64_t>(heads.size()), geometry.tokens, a.head_dim()};

  const VideoDit::Flops forward = model->ForwardFlops(clip);
  Plan plan{.what = fmt::format("capture q, k, v of {} layers, {} heads, at {} draws x {} times",
                                layers.size(), heads.size(), config.draws, rounds)};
  plan.details.push_back(fmt::format("setting '{}', each of q, k, v of a layer {} {}",
                                     choice.setting.name, ToString(shape), config.compute));
  const auto checkpoint = scope.OpenCheckpoint();
  const int64_t saved = checkpoint ? checkpoint->Info(std::string(kSavedUnits) + "id").shape[0] : 0;
  plan.flops = static_cast<double>(units - std::min(units, saved)) *
               (forward.linear + ExpectedDensity(choice.setting) * forward.attention);
  if (!scope.Begin(plan)) return {};

  TensorWriter writer = scope.NewFile(EncodingType::kCapture);
  const DatasetOptions options{
      .storage = Storage::kMapped, .dims = {"unit", "head", "token", "channel"}, .dtype = {}};
  std::vector<LayerStreams> streams;
  for (const int64_t layer : layers) {
    const auto open = [&](const char* name) {
      return writer.OpenRows(fmt::format("/layers/{}/{}", layer, name), model->compute_dtype(),
                             shape, options);
    };
    streams.push_back({layer, open("q"), open("k"), open("v")});
  }
  const HeldOutUnits draws(context, data, choice.info, scope.seed());
  UnitTable table;
  if (checkpoint) Restore(*checkpoint, &streams, &table);
  AttentionPlan attention;
  ForwardOptions forward_options;
  forward_options.observer = [&](int64_t layer, const AttentionTrace& trace) {
    const auto found = std::lower_bound(layers.begin(), layers.end(), layer);
    if (found == layers.end() || *found != layer) return;
    LayerStreams& stream = streams[static_cast<size_t>(found - layers.begin())];
    stream.q.Append(HeadsOnHost(trace.q, heads));
    stream.k.Append(HeadsOnHost(trace.k, heads));
    stream.v.Append(HeadsOnHost(trace.v, heads));
  };
  for (auto done = static_cast<int64_t>(table.id.size()); done < units; ++done) {
    if (scope.StopRequested()) {
      scope.SaveCheckpoint([&](TensorWriter& w) { Save(streams, table, &w); });
    }
    const int64_t draw = (part.begin + done) / rounds;
    const double t = config.times[static_cast<size_t>(done % rounds)];
    const FlowUnit unit = draws.AtTime(static_cast<uint64_t>(draw), t);
    if (!choice.setting.dense()) {
      attention = PlanAt(choice.setting, choice.block(), a.depth, a.heads, t);
      forward_options.plan = &attention;
    }
    model->Velocity(unit.x_t, unit.condition, forward_options);
    table.id.push_back(unit.id);
    table.source.push_back(unit.clip.source);
    table.start.push_back(unit.clip.start);
    table.t.push_back(t);
    scope.progress().Step(
        done + 1, units,
        fmt::format("unit {}/{}: draw {} at t = {}", part.begin + done + 1, part.total, draw, t));
  }
  ForEach(streams, [](const std::string&, RowStream& stream) { stream.Close(); });
  table.Write(&writer, kUnits);
  Setting setting = choice.setting;
  writer.Attribute("/", "grid",
                   std::vector<int64_t>{geometry.grid[0], geometry.grid[1], geometry.grid[2]});
  writer.Attribute("/", "token-order", a.token_order);
  writer.Attribute("/", "tile", a.tile);
  writer.Attribute("/", "layers", layers);
  writer.Attribute("/", "heads", heads);
  writer.Attribute("/", "setting", DumpYaml(FieldsOf(setting)));
  writer.Attribute("/", "population", draws.Population(scope.DigestOf(data_path)));
  scope.Commit(std::move(writer));
  const Json json = {
      {"output", scope.Output()}, {"layers", layers},          {"heads", heads},
      {"units", units},           {"tokens", geometry.tokens}, {"setting", setting.name}};
  return {
      .text = fmt::format("{}: q, k, v of {} layers, each {} {}; setting '{}'\n", scope.Output(),
                          layers.size(), ToString(shape), config.compute, setting.name),
      .json = json.dump() + "\n",
      .facts = {{"units", std::to_string(units)}, {"setting", setting.name}}};
}

}  // namespace suffice::generate
