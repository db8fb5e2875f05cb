// SPDX-License-Identifier: Apache-2.0
// The shards of one run as the file that the run would have made unsharded.
#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "lib/base/error.h"
#include "lib/generate/verbs.h"
#include "lib/policy/layer_plan.h"
#include "lib/policy/runs.h"

namespace suffice::generate {
namespace {

struct Piece {
  TensorReader file;
  ShardPart part;

  std::string name() const { return NameOf({file.path(), part}); }
};

Piece Open(const std::string& path) {
  TensorReader file(path);
  const std::string_view type = NameOf(file.header().encoding_type);
  if (type != "samples" && type != "runs" && type != "capture")
    throw DataError("{}: encoding-type {}; samples, runs or capture wanted", path, type);
  const auto part = ReadPart(file);
  if (!part) throw DataError("{}: not a shard: it has no attribute shard", path);
  return {std::move(file), *part};
}

// What does not differ between the shards of one run, by the name that a message gives it.
std::map<std::string, std::string> Identity(const Piece& piece) {
  const FileHeader& header = piece.file.header();
  std::map<std::string, std::string> facts = {
      {"encoding-type", std::string(NameOf(header.encoding_type))},
      {"encoding-version", header.encoding_version},
      {"producer", header.producer},
      {"config", header.config_sha256},
      {"seed", header.seed ? std::to_string(*header.seed) : "none"},
      {"backend", header.backend}};
  for (const auto& [role, digest] : header.inputs) facts["input " + role] = digest;
  return facts;
}

// Root attributes that are neither of the header nor of the shard, for the whole to have too.
AttributeMap OwnAttributes(const TensorReader& file) {
  static const std::set<std::string> kOthers = {
      "format",     "encoding-type", "encoding-version", "producer", "config",      "config-sha256",
      "inputs",     "seed",          "backend",          "shard",    "shard-range", "density",
      "shard-pairs"};
  AttributeMap own = file.Attributes("/");
  for (const std::string& name : kOthers) own.erase(name);
  return own;
}

void RequireSameRun(const Piece& piece, const Piece& first) {
  const auto found = Identity(piece), wanted = Identity(first);
  std::set<std::string> names;
  for (const auto* facts : {&found, &wanted}) {
    for (const auto& [name, unused] : *facts) names.insert(name);
  }
  for (const std::string& name : names) {
    const auto of = [&](const auto& facts) {
      const auto fact = facts.find(name);
      return fact == facts.end() ? std::string("missing") : fact->second;
    };
    if (of(found) == of(wanted)) continue;
    throw DataError("{}: its {} is {}, that of {} {}", piece.name(), name, of(found),
                    first.file.path(), of(wanted));
  }
  const AttributeMap ours = OwnAttributes(piece.file), theirs = OwnAttributes(first.file);
  for (const auto* attributes : {&ours, &theirs}) {
    for (const auto& [name, unused] : *attributes) {
      const auto a = ours.find(name), b = theirs.find(name);
      if (a == ours.end() || b == theirs.end() || a->second != b->second) {
        throw DataError("{}: attribute {}: differs from that of {}", piece.name(), name,
                        first.file.path());
      }
    }
  }
}

// Kept and allowed pairs of every shard, added: one of samples, one a column of runs.
std::vector<PairCount> SumPairs(const std::vector<Piece>& pieces, size_t columns) {
  std::vector<PairCount> sums(columns);
  for (const Piece& piece : pieces) {
    const auto pairs = piece.file.IntListAttribute("/", "shard-pairs");
    if (!pairs || pairs->size() != 2 * columns)
      throw DataError("{}: attribute shard-pairs: {} numbers wanted", piece.name(), 2 * columns);
    for (size_t s = 0; s < columns; ++s) sums[s] += {(*pairs)[2 * s], (*pairs)[2 * s + 1]};
  }
  return sums;
}

// What every sample of a file shares; everything else has a row for each.
bool IsShared(const std::string& path) { return path == "/classes" || path == "/trajectory/t"; }

bool IsContent(const DatasetInfo& info) {
  return !info.path.starts_with(std::string(kRunGroup) + "/") &&
         !info.path.starts_with(std::string(kReceiptGroup) + "/");
}

std::vector<DatasetInfo> ContentOf(const TensorReader& file) {
  std::vector<DatasetInfo> list;
  for (const DatasetInfo& info : file.datasets()) {
    if (IsContent(info)) list.push_back(info);
  }
  return list;
}

// kData unless every shard has the first one's datasets, with a row for each of its items.
void RequireRows(const std::vector<Piece>& pieces) {
  const std::vector<DatasetInfo> wanted = ContentOf(pieces.front().file);
  for (const Piece& piece : pieces) {
    const std::vector<DatasetInfo> found = ContentOf(piece.file);
    if (found.size() != wanted.size())
      throw DataError("{}: {} datasets, {} has {}", piece.name(), found.size(),
                      pieces.front().file.path(), wanted.size());
    for (const DatasetInfo& info : wanted) {
      if (IsShared(info.path)) {
        if (DatasetDigest(piece.file, piece.file.Info(info.path)) !=
            DatasetDigest(pieces.front().file, info)) {
          throw DataError("{}: {}: differs from that of {}", piece.name(), info.path,
                          pieces.front().file.path());
        }
        continue;
      }
      if (info.is_strings || info.shape.rank == 0)
        throw DataError("{}: {}: no rows of a shard", piece.name(), info.path);
      Shape shape = info.shape;
      shape[0] = piece.part.items();
      piece.file.Require(info.path, info.dtype, shape, "a shard of this run");
    }
  }
}

void WriteRows(const std::vector<Piece>& pieces, RunScope& scope, TensorWriter* writer) {
  const std::vector<DatasetInfo> list = ContentOf(pieces.front().file);
  int64_t done = 0;
  for (const DatasetInfo& info : list) {
    const TensorReader& first = pieces.front().file;
    if (info.is_strings) {
      writer->Strings(info.path, first.ReadStrings(info.path));
    } else if (IsShared(info.path)) {
      writer->Dataset(info.path, first.Read(info.path),
                      {.storage = info.storage, .dims = info.dims, .dtype = {}});
    } else {
      Shape shape = info.shape;
      shape[0] = pieces.front().part.total;
      RowStream rows = writer->OpenRows(info.path, info.dtype, shape,
                                        {.storage = info.storage, .dims = info.dims, .dtype = {}});
      for (const Piece& piece : pieces) {
        const MappedArray array = piece.file.Map(info.path);
        rows.Append(array.data(), piece.part.items());
      }
      rows.Close();
    }
    ++done;
    scope.progress().Step(done, static_cast<int64_t>(list.size()),
                          fmt::format("{}: {} shards", info.path, pieces.size()));
  }
}

Runs JoinRuns(const std::vector<Piece>& pieces) {
  Runs whole;
  std::set<uint64_t> seen;
  for (const Piece& piece : pieces) {
    Runs runs = ReadRuns(piece.file);
    if (static_cast<int64_t>(runs.units.size()) != piece.part.items()) {
      throw DataError("{}: {} units, {} wanted", piece.name(), runs.units.size(),
                      piece.part.items());
    }
    for (const RunsUnit& unit : runs.units) {
      if (!seen.insert(unit.id).second)
        throw DataError("{}: unit {} is in another shard too", piece.name(), unit.id);
    }
    if (whole.columns.empty()) {
      whole = std::move(runs);
      continue;
    }
    const auto same = [](const RunsColumn& a, const RunsColumn& b) {
      return a.model == b.model && a.setting.name == b.setting.name &&
             a.setting.Canonical() == b.setting.Canonical() && a.losses.size() == b.losses.size() &&
             a.difference.empty() == b.difference.empty();
    };
    if (!std::equal(runs.columns.begin(), runs.columns.end(), whole.columns.begin(),
                    whole.columns.end(), same)) {
      throw DataError("{}: its settings are not those of {}", piece.name(),
                      pieces.front().file.path());
    }
    whole.units.insert(whole.units.end(), runs.units.begin(), runs.units.end());
    const auto append = [](std::vector<double>& to, const std::vector<double>& from) {
      to.insert(to.end(), from.begin(), from.end());
    };
    for (size_t s = 0; s < whole.columns.size(); ++s) {
      RunsColumn &to = whole.columns[s], &from = runs.columns[s];
      for (auto& [name, losses] : to.losses) {
        if (!from.losses.contains(name)) throw DataError("{}: no loss {}", piece.name(), name);
        append(losses, from.losses[name]);
      }
      append(to.cost, from.cost);
      append(to.seconds, from.seconds);
      append(to.difference, from.difference);
    }
    append(whole.energy, runs.energy);
  }
  const std::vector<PairCount> pairs = SumPairs(pieces, whole.columns.size());
  for (size_t s = 0; s < pairs.size(); ++s) whole.columns[s].density = pairs[s].density();
  return whole;
}

void Write(const std::vector<Piece>& pieces, const Runs& runs, RunScope& scope,
           TensorWriter* writer) {
  const TensorReader& first = pieces.front().file;
  const EncodingType type = first.header().encoding_type;
  AttributeMap own = OwnAttributes(first);
  if (type == EncodingType::kRuns) {
    WriteRuns(runs, writer);
    for (const char* name : {"population", "reference", "joules"}) own.erase(name);
  } else {
    WriteRows(pieces, scope, writer);
  }
  for (const auto& [name, value] : own) writer->Attribute("/", name, value);
  if (type == EncodingType::kSamples)
    writer->Attribute("/", "density", SumPairs(pieces, 1).front().density());
}

}  // namespace

Report Merge(const NoConfig&, RunScope& scope) {
  std::vector<Piece> given, pieces;
  std::vector<ShardFile> files;
  for (const std::string& path : scope.Inputs("shards")) {
    given.push_back(Open(path));
    RequireSameRun(given.back(), given.front());
    files.push_back({path, given.back().part});
  }
  std::vector<std::string> list;
  for (const size_t i : OrderOfShards(files)) {
    list.push_back(fmt::format("{} {}", files[i].part.shard.Name(), scope.DigestOf(files[i].path)));
    pieces.push_back(std::move(given[i]));
  }
  const FileHeader& header = pieces.front().file.header();
  const bool is_runs = header.encoding_type == EncodingType::kRuns;
  const Runs runs = is_runs ? JoinRuns(pieces) : Runs{};
  if (!is_runs) RequireRows(pieces);
  const int64_t total = pieces.front().part.total;
  if (!scope.Begin({.what = fmt::format("merge {} shards of {} with {} rows", pieces.size(),
                                        NameOf(header.encoding_type), total)}))
    return {};

  TensorWriter writer = scope.NewFile(header);
  writer.Attribute(std::string(kRunGroup), "shards", list);
  Write(pieces, runs, scope, &writer);
  scope.Commit(std::move(writer));
  const nlohmann::ordered_json json = {{"output", scope.Output()},
                                       {"encoding-type", NameOf(header.encoding_type)},
                                       {"shards", pieces.size()},
                                       {"rows", total}};
  return {.text = fmt::format("{}: {} of {} shards, {} rows\n", scope.Output(),
                              NameOf(header.encoding_type), pieces.size(), total),
          .json = json.dump() + "\n",
          .facts = {{"rows", std::to_string(total)}, {"shards", std::to_string(pieces.size())}}};
}

}  // namespace suffice::generate
