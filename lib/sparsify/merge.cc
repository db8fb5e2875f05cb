// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <nlohmann/json.hpp>
#include <sstream>

#include "lib/base/error.h"
#include "lib/io/text_file.h"
#include "lib/sparsify/sweep_mark.h"
#include "lib/sparsify/sweep_table.h"
#include "lib/sparsify/verbs.h"

namespace suffice::sparsify {
namespace {

struct Piece {
  SweepMark mark;
  std::string rows;  // lines of the table, without its header
};

Piece ReadPiece(const std::string& path) {
  std::istringstream text(ReadText(path));
  std::string line;
  std::getline(text, line);
  Piece piece{ParseShardLine(line, path), {}};
  const ShardFile file{path, piece.mark.part};
  if (!std::getline(text, line) || line + "\n" != SweepTable::Header())
    throw DataError("{}:2: not the header of a sweep's table", path);
  const auto columns = std::count(line.begin(), line.end(), '\t');
  int64_t rows = 0;
  while (std::getline(text, line)) {
    if (std::count(line.begin(), line.end(), '\t') != columns || text.eof())
      throw DataError("{}:{}: not a whole row of the table", path, rows + 3);
    piece.rows += line + "\n";
    ++rows;
  }
  if (rows != piece.mark.part.items())
    throw DataError("{}: {} rows, {} wanted", NameOf(file), rows, piece.mark.part.items());
  return piece;
}

}  // namespace

Report Merge(const NoConfig&, RunScope& scope) {
  std::vector<Piece> pieces;
  std::vector<ShardFile> files;
  for (const std::string& path : scope.Inputs("shards")) {
    pieces.push_back(ReadPiece(path));
    files.push_back({path, pieces.back().mark.part});
    for (const auto& [name, wanted] : pieces.front().mark.facts) {
      const std::string& found = pieces.back().mark.facts.at(name);
      if (found == wanted) continue;
      throw DataError("{}: its {} is {}, that of {} {}", NameOf(files.back()), name, found,
                      files.front().path, wanted);
    }
  }
  const std::vector<size_t> order = OrderOfShards(files);
  const int64_t rows = files.front().part.total;
  if (!scope.Begin({.what = fmt::format("merge {} shards of {} rows", files.size(), rows)}))
    return {};
  std::string tsv = SweepTable::Header();
  for (const size_t i : order) tsv += pieces[i].rows;
  scope.WriteText(scope.Output(), tsv);
  const nlohmann::ordered_json json = {
      {"output", scope.Output()}, {"shards", files.size()}, {"rows", rows}};
  return {.text = fmt::format("{}: {} rows of {} shards\n", scope.Output(), rows, files.size()),
          .json = json.dump() + "\n",
          .facts = {{"rows", std::to_string(rows)}, {"shards", std::to_string(files.size())}}};
}

}  // namespace suffice::sparsify
