// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>

#include "lib/audit/curves.h"
#include "lib/audit/html.h"
#include "lib/audit/plot.h"
#include "lib/audit/verbs.h"
#include "lib/base/digest.h"
#include "lib/base/error.h"
#include "lib/ledger/verify.h"
#include "lib/policy/runs.h"
#include "lib/policy/selection.h"
#include "lib/stats/inference.h"

namespace suffice::audit {
namespace {

namespace fs = std::filesystem;

std::string Verdict(const Verification& v) {
  std::string html = v.verified() ? "<p class=\"verdict ok\">The ledger verifies.</p>\n"
                                  : "<p class=\"verdict no\">The ledger does NOT verify.</p>\n";
  std::vector<TableRow> rows = {
      {{"log", v.checkpoint.origin}, ""},
      {{"records", std::to_string(v.checkpoint.size)}, ""},
      {{"root", Hex(v.checkpoint.root)}, ""},
      {{"log key", v.log_key.Line() + (v.pinned ? " (pinned)" : " (key not pinned)")}, ""},
      {{"tool key", v.tool_key.Line()}, ""},
      {{"files", fmt::format("{} named, {} missing", v.files.size(), v.missing_files())}, ""}};
  for (const std::string& line : v.contradictions) rows.push_back({{"contradiction", line}, "bad"});
  for (const std::string& line : v.open_intents) rows.push_back({{"open intent", line}, "open"});
  for (const std::string& line : v.outside) rows.push_back({{"changed outside", line}, "open"});
  return html + Table({"what", "found"}, rows);
}

std::string Join(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : " ") + word;
  return text;
}

// "2026-11-22T06:16:51.771Z" to the second, for people.
std::string Time(const std::string& wall_time) {
  std::string time = wall_time.substr(0, 19);
  if (time.size() == 19) time[10] = ' ';
  return time;
}

std::string WhatRan(const Verification& v) {
  std::map<std::string, const Record*> closing;
  for (const Record& record : v.records) {
    if (record.closes()) closing[record.run_id] = &record;
  }
  std::vector<TableRow> rows;
  double seconds = 0;
  for (const Record& record : v.records) {
    if (record.phase == "note")
      rows.push_back(
          {{std::to_string(record.seq), Time(record.wall_time), record.message, "note", ""}, ""});
    if (record.phase != "intent") continue;
    const auto end = closing.find(record.run_id);
    const bool open = end == closing.end();
    std::string found;
    if (!open) {
      for (const auto& [name, value] : end->second->facts)
        found += (found.empty() ? "" : "; ") + name + " " + value;
      if (!end->second->message.empty())
        found += (found.empty() ? "" : "; ") + end->second->message;
      seconds += end->second->seconds;
    }
    rows.push_back({{std::to_string(record.seq), Time(record.wall_time), Join(record.argv),
                     open ? "open"
                          : fmt::format("{} ({}), {:.1f} s", end->second->phase,
                                        end->second->exit_code, end->second->seconds),
                     found},
                    open                          ? "open"
                    : end->second->exit_code == 0 ? ""
                                                  : "bad"});
  }
  return Table({"record", "time (UTC)", "command", "end", "found"}, rows, "runs") +
         fmt::format("<p>Compute time in all: {:.1f} s. Energy: unavailable.</p>\n", seconds);
}

// The newest file on disk of which `matches` holds, among those that the ledger names.
template <class Predicate>
std::string NewestFile(const std::string& folder, const Verification& v, const Predicate& matches) {
  std::string path;
  uint64_t seq = 0;
  for (const CheckedFile& file : v.files) {
    const fs::path place = fs::path(folder) / file.newest.path;
    if (file.state == FileState::kMatches && (path.empty() || file.seq >= seq) &&
        fs::exists(place) && matches(place.string())) {
      path = place.string();
      seq = file.seq;
    }
  }
  return path;
}

bool IsRuns(const std::string& path) {
  if (!path.ends_with(".h5")) return false;
  try {
    return TensorReader(path).header().encoding_type == EncodingType::kRuns;
  } catch (const Error&) {
    return false;
  }
}

std::string Frontier(const std::string& path) {
  const Runs runs = ReadRuns(TensorReader(path, EncodingType::kRuns));
  const std::string loss = runs.columns.front().losses.begin()->first;
  std::vector<PlotPoint> points;
  for (const RunsColumn& column : runs.columns) {
    const auto [mean, interval] = MeanLoss(runs, column, loss);
    points.push_back(
        {Mean(column.cost), mean, interval.low, interval.high, column.setting.name, false});
  }
  std::vector<TableRow> rows;
  for (size_t i = 0; i < points.size(); ++i) {
    PlotPoint& p = points[i];
    p.marked = std::none_of(points.begin(), points.end(), [&](const PlotPoint& other) {
      return other.x <= p.x && other.y <= p.y && (other.x < p.x || other.y < p.y);
    });
    rows.push_back(
        {{p.label, runs.columns[i].model.substr(0, 12),
          fmt::format("{:.4f}", runs.columns[i].density), fmt::format("{:.4g}", p.x),
          fmt::format("{:.4g} [{:.4g}, {:.4g}]", p.y, p.y_low, p.y_high), p.marked ? "yes" : ""},
         ""});
  }
  return ScatterPlot(points, "cost (" + runs.cost_unit + ")", loss) +
         Table({"setting", "model", "density", "cost", loss + ", 95 % interval", "on the frontier"},
               rows) +
         "<p>Population: " + Escape(runs.population) + "</p>\n";
}

std::string Choice(const std::string& path) {
  const Selection selection = ReadSelection(path);
  std::vector<TableRow> rows;
  for (const Evidence& e : selection.evidence) {
    rows.push_back({{e.setting, e.model.substr(0, 12), fmt::format("{:.4g}", e.cost),
                     fmt::format("{:.4g}", e.mean_loss), fmt::format("{:.3g}", e.p_value),
                     e.certified ? "certified" : "not certified"},
                    e.certified ? "" : "open"});
  }
  const std::string said = selection.guarantee.empty()
                               ? "Nothing was certified: the dense model is used."
                               : selection.guarantee;
  return "<p>" + Escape(said) + "</p>\n" +
         Table({"setting", "model", "cost", "mean loss", "p-value", "verdict"}, rows);
}

bool IsSelection(const std::string& path) {
  if (!path.ends_with(".yaml")) return false;
  try {
    ReadSelection(path);
    return true;
  } catch (const Error&) {
    return false;
  }
}

}  // namespace

Report MakeReport(const NoConfig&, RunScope& scope) {
  const std::string& folder = scope.Input("folder");
  VerifyOptions options;
  if (scope.Has("key")) options.log_key = ReadPublicKey(scope.Input("key"));
  if (!scope.Begin({.what = "report on " + folder})) return {};
  const Verification v = VerifyLedger(folder, options);
  std::string body = "<h2>Verification</h2>\n" + Verdict(v) + "<h2>What ran</h2>\n" + WhatRan(v);
  const std::string curves = LossCurves(folder, v.records);
  if (!curves.empty()) body += "<h2>Loss curves</h2>\n" + curves;
  const std::string runs = NewestFile(folder, v, &IsRuns);
  if (!runs.empty()) body += "<h2>Cost against loss</h2>\n" + Frontier(runs);
  const std::string selection = NewestFile(folder, v, &IsSelection);
  if (!selection.empty()) body += "<h2>Selection</h2>\n" + Choice(selection);
  std::string pictures;
  std::vector<TableRow> files;
  for (const CheckedFile& file : v.files) {
    const std::string place = (fs::path(folder) / file.newest.path).string();
    if (file.state == FileState::kMatches && place.ends_with(".png"))
      pictures += InlinePng(place, file.newest.path);
    const char* state = file.state == FileState::kMatches   ? "matches"
                        : file.state == FileState::kMissing ? "missing"
                                                            : "differs";
    files.push_back({{file.newest.path, state, std::to_string(file.seq), file.newest.digest},
                     file.state == FileState::kDiffers ? "bad" : ""});
  }
  if (!pictures.empty()) body += "<h2>Samples</h2>\n" + pictures;
  body += "<h2>Files</h2>\n" + Table({"file", "on disk", "record", "content digest"}, files);
  scope.WriteText(scope.Output(), Page("suffice: report of " + v.checkpoint.origin, body));
  return {
      .text = fmt::format("{}: {} records, {}\n", scope.Output(), v.checkpoint.size,
                          v.verified() ? "verified" : "NOT verified"),
      .json =
          nlohmann::ordered_json{{"output", scope.Output()}, {"verified", v.verified()}}.dump() +
          "\n",
      .facts = {{"verified", v.verified() ? "yes" : "no"}},
      .code = v.verified() ? ExitCode::kDone : ExitCode::kCheckFailed};
}

}  // namespace suffice::audit
