// SPDX-License-Identifier: Apache-2.0
#include "lib/policy/runs.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "lib/base/error.h"
#include "lib/base/philox.h"
#include "lib/config/yaml.h"

namespace suffice {
namespace {

constexpr uint64_t kSplitSeed = 0x5355464649434521u;  // fixed for ever: a unit never changes sides

Shape Table(const Runs& runs) {
  return {static_cast<int64_t>(runs.columns.size()), static_cast<int64_t>(runs.units.size())};
}

// One (S, U) table of f64 out of a member of every column.
template <class Get>
HostArray Gather(const Runs& runs, const Get& get) {
  HostArray table(DType::kF64, Table(runs));
  auto out = table.values<double>().begin();
  for (const RunsColumn& column : runs.columns) {
    const std::vector<double>& values = get(column);
    SUFFICE_CHECK(values.size() == runs.units.size());
    out = std::copy(values.begin(), values.end(), out);
  }
  return table;
}

template <class T, class Get>
HostArray GatherUnits(const Runs& runs, const Get& get) {
  HostArray array(kDTypeOf<T>, {static_cast<int64_t>(runs.units.size())});
  for (size_t i = 0; i < runs.units.size(); ++i) array.values<T>()[i] = get(runs.units[i]);
  return array;
}

std::vector<double> Row(const HostArray& table, size_t row, size_t width) {
  const auto values = table.values<double>().subspan(row * width, width);
  return {values.begin(), values.end()};
}

// Units and columns are read.
void ReadSquares(const TensorReader& reader, Runs* runs) {
  if (reader.datasets("/squares").empty()) return;
  const auto units = static_cast<int64_t>(runs->units.size());
  const auto read = [&](const std::string& name, const Shape& shape) {
    reader.Require(name, DType::kF64, shape, "a runs file");
    HostArray squares = reader.ReadFinite(name);
    for (const double square : squares.values<double>()) {
      if (square < 0) throw DataError("{}: {}: {} is below 0", reader.path(), name, square);
    }
    return squares;
  };
  const HostArray difference = read("/squares/difference", Table(*runs));
  runs->energy = Row(read("/squares/reference", {units}), 0, runs->units.size());
  for (size_t s = 0; s < runs->columns.size(); ++s)
    runs->columns[s].difference = Row(difference, s, runs->units.size());
}

}  // namespace

bool IsTestUnit(uint64_t id) {
  return (Philox(kSplitSeed, static_cast<uint32_t>(Stream::kSplit), id)[0] & 1) != 0;
}

std::vector<size_t> Runs::Split(bool test) const {
  std::vector<size_t> indices;
  for (size_t i = 0; i < units.size(); ++i) {
    if (IsTestUnit(units[i].id) == test) indices.push_back(i);
  }
  return indices;
}

std::optional<Estimate> RelativeErrorOf(const Runs& runs, const RunsColumn& column, uint64_t seed) {
  if (column.difference.empty()) return std::nullopt;
  return RelativeError(column.difference, runs.energy, seed);
}

bool IsBinary(const Runs& runs, const std::string& loss) {
  return std::all_of(runs.columns.begin(), runs.columns.end(), [&](const RunsColumn& column) {
    const std::vector<double>& losses = column.losses.at(loss);
    return std::all_of(losses.begin(), losses.end(), [](double x) { return x == 0 || x == 1; });
  });
}

Estimate MeanLoss(const Runs& runs, const RunsColumn& column, const std::string& loss,
                  double confidence) {
  const std::vector<double>& losses = column.losses.at(loss);
  if (!IsBinary(runs, loss)) return {Mean(losses), LossInterval(losses, confidence)};
  return {Mean(losses), ClopperPearson(std::ssize(losses),
                                       std::count(losses.begin(), losses.end(), 1.0), confidence)};
}

void WriteRuns(const Runs& runs, TensorWriter* writer) {
  const DatasetOptions packed{.storage = Storage::kPacked, .dims = {}, .dtype = {}};
  writer->Attribute("/", "population", runs.population);
  writer->Attribute("/", "reference", runs.reference);
  writer->Attribute("/", "joules", std::string("unavailable"));
  writer->Dataset("/units/id", GatherUnits<uint64_t>(runs, [](const RunsUnit& u) { return u.id; }),
                  packed);
  writer->Dataset(
      "/units/split",
      GatherUnits<uint8_t>(runs, [](const RunsUnit& u) -> uint8_t { return IsTestUnit(u.id); }),
      packed);
  writer->Dataset("/units/source",
                  GatherUnits<int32_t>(runs, [](const RunsUnit& u) { return u.source; }), packed);
  writer->Attribute("/units/source", "held-out", int64_t{1});
  writer->Dataset("/units/start",
                  GatherUnits<int32_t>(runs, [](const RunsUnit& u) { return u.start; }), packed);
  writer->Dataset("/units/t", GatherUnits<double>(runs, [](const RunsUnit& u) { return u.t; }),
                  packed);

  std::vector<std::string> models, settings;
  HostArray density(DType::kF64, {static_cast<int64_t>(runs.columns.size())});
  for (size_t s = 0; s < runs.columns.size(); ++s) {
    models.push_back(runs.columns[s].model);
    Setting setting = runs.columns[s].setting;
    settings.push_back(DumpYaml(FieldsOf(setting)));
    density.values<double>()[s] = runs.columns[s].density;
  }
  writer->Strings("/settings/model", models);
  writer->Strings("/settings/yaml", settings);
  writer->Dataset("/settings/density", density, packed);
  const std::vector<std::string> dims = {"setting", "unit"};
  const DatasetOptions table{.storage = Storage::kPacked, .dims = dims, .dtype = {}};
  for (const auto& [name, unused] : runs.columns.at(0).losses) {
    writer->Dataset(
        "/losses/" + name,
        Gather(
            runs, [&](const RunsColumn& c) -> const auto& { return c.losses.at(name); }),
        table);
  }
  if (!runs.energy.empty()) {
    HostArray energy(DType::kF64, {static_cast<int64_t>(runs.units.size())});
    SUFFICE_CHECK(runs.energy.size() == runs.units.size());
    std::copy(runs.energy.begin(), runs.energy.end(), energy.values<double>().begin());
    writer->Dataset("/squares/reference", energy, packed);
    writer->Dataset("/squares/difference",
                    Gather(
                        runs, [](const RunsColumn& c) -> const auto& { return c.difference; }),
                    table);
  }
  writer->Dataset("/cost",
                  Gather(
                      runs, [](const RunsColumn& c) -> const auto& { return c.cost; }),
                  table);
  writer->Attribute("/cost", "unit", runs.cost_unit);
  writer->Dataset("/seconds",
                  Gather(
                      runs, [](const RunsColumn& c) -> const auto& { return c.seconds; }),
                  table);
}

Runs ReadRuns(const TensorReader& reader) {
  const std::string& path = reader.path();
  Runs runs;
  runs.population = reader.StringAttribute("/", "population").value_or("");
  runs.reference = reader.StringAttribute("/", "reference").value_or("");
  const int64_t count = reader.Require("/units/id", DType::kU64, {-1}, "a runs file").shape[0];
  const auto size = static_cast<size_t>(count);
  reader.Require("/units/split", DType::kU8, {count}, "a runs file");
  reader.Require("/units/source", DType::kI32, {count}, "a runs file");
  reader.Require("/units/start", DType::kI32, {count}, "a runs file");
  reader.Require("/units/t", DType::kF64, {count}, "a runs file");
  if (reader.IntAttribute("/units/source", "held-out").value_or(0) != 1) {
    throw DataError("{}: /units/source: not marked as held out; training footage gives no evidence",
                    path);
  }
  const HostArray ids = reader.Read("/units/id");
  const HostArray splits = reader.Read("/units/split");
  const HostArray sources = reader.Read("/units/source");
  const HostArray starts = reader.Read("/units/start");
  const HostArray times = reader.ReadFinite("/units/t");
  std::set<uint64_t> seen;
  for (size_t i = 0; i < size; ++i) {
    const uint64_t id = ids.values<uint64_t>()[i];
    if (!seen.insert(id).second) throw DataError("{}: /units/id: unit {} is given twice", path, id);
    if (splits.values<uint8_t>()[i] != (IsTestUnit(id) ? 1 : 0)) {
      throw DataError("{}: /units/split: unit {} is in the wrong split", path, id);
    }
    runs.units.push_back(
        {id, sources.values<int32_t>()[i], starts.values<int32_t>()[i], times.values<double>()[i]});
  }

  const std::vector<std::string> models = reader.ReadStrings("/settings/model");
  const std::vector<std::string> settings = reader.ReadStrings("/settings/yaml");
  const auto columns = static_cast<int64_t>(settings.size());
  if (models.size() != settings.size() || settings.empty()) {
    throw DataError("{}: /settings: {} models, {} settings", path, models.size(), settings.size());
  }
  const auto table = [&](const std::string& name) {
    reader.Require(name, DType::kF64, {columns, count}, "a runs file");
    return reader.ReadFinite(name);
  };
  const HostArray cost = table("/cost");
  const HostArray seconds = table("/seconds");
  runs.cost_unit = reader.StringAttribute("/cost", "unit").value_or("gflop");
  reader.Require("/settings/density", DType::kF64, {columns}, "a runs file");
  const HostArray density = reader.ReadFinite("/settings/density");
  std::set<std::string> identities;
  for (size_t s = 0; s < settings.size(); ++s) {
    RunsColumn column;
    column.model = models[s];
    LoadYaml(settings[s], fmt::format("{}: /settings/yaml[{}]", path, s), FieldsOf(column.setting),
             nullptr, ExitCode::kData);
    if (!identities.insert(column.model + column.setting.Canonical()).second) {
      throw DataError("{}: setting '{}' of one model is given twice", path, column.setting.name);
    }
    column.density = density.values<double>()[s];
    column.cost = Row(cost, s, size);
    column.seconds = Row(seconds, s, size);
    runs.columns.push_back(std::move(column));
  }
  for (const DatasetInfo& info : reader.datasets("/losses")) {
    const std::string name = info.path.substr(std::string("/losses/").size());
    const HostArray losses = table(info.path);
    for (const double loss : losses.values<double>()) {
      if (!(loss >= 0 && loss <= 1))
        throw DataError("{}: {}: {} is outside [0, 1]", path, info.path, loss);
    }
    for (size_t s = 0; s < settings.size(); ++s)
      runs.columns[s].losses[name] = Row(losses, s, size);
  }
  ReadSquares(reader, &runs);
  return runs;
}

}  // namespace suffice
