// SPDX-License-Identifier: Apache-2.0
#include "lib/ledger/log.h"

#include <unistd.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "lib/audit/verbs.h"
#include "lib/base/digest.h"
#include "lib/base/error.h"
#include "lib/ledger/record.h"
#include "lib/ledger/verify.h"

namespace suffice::audit {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

// A name that is this log's own until somebody gives it a better one.
std::string DefaultOrigin() { return "suffice.local/" + NewRunId(); }

std::string KeyFolder(RunScope& scope) {
  if (!scope.options().keys.empty()) return scope.options().keys;
  throw UsageError("--keys: missing (the folder of the private keys)");
}

LedgerKeys KeysFor(RunScope& scope, const std::string& folder) {
  if (fs::exists(fs::path(folder) / "log.key")) {
    if (scope.Has("origin"))
      throw UsageError("--origin {}: {} has keys already", scope.Input("origin"), folder);
    return LoadKeys(folder);
  }
  return CreateKeys(folder, scope.Has("origin") ? scope.Input("origin") : DefaultOrigin());
}

std::string KeyText(const LedgerKeys& keys) {
  return fmt::format("log   {}\ntool  {}\n", keys.log.public_key().Line(),
                     keys.tool.public_key().Line());
}

Json KeyJson(const LedgerKeys& keys) {
  return {{"log", keys.log.public_key().Line()}, {"tool", keys.tool.public_key().Line()}};
}

bool Inside(const fs::path& inner, const fs::path& outer) {
  const fs::path relative =
      fs::weakly_canonical(inner).lexically_relative(fs::weakly_canonical(outer));
  return !relative.empty() && *relative.begin() != "..";
}

Report Init(RunScope& scope, const std::string& folder) {
  const std::string keys_folder = KeyFolder(scope);
  if (Inside(keys_folder, folder)) {
    throw UsageError("{}: inside the ledger; private keys do not belong where the log is published",
                     keys_folder);
  }
  if (fs::exists(fs::path(folder) / "checkpoint"))
    throw UsageError("{}: a ledger exists there", folder);
  if (!scope.Begin({.what = "make a ledger at " + folder})) return {};
  const LedgerKeys keys = KeysFor(scope, keys_folder);
  LedgerWriter::Create(folder, keys);
  return {.text = fmt::format("{}: a new ledger\n{}", folder, KeyText(keys)),
          .json = Json{{"ledger", folder}, {"keys", KeyJson(keys)}}.dump() + "\n"};
}

std::string Line(const Record& r) {
  std::string files;
  for (const FileRef& file : r.closes() ? r.outputs : r.inputs) files += " " + file.path;
  std::string tail = r.message.empty() ? "" : "  " + r.message;
  if (r.closes()) tail = fmt::format("  {:.1f} s, exit {}", r.seconds, r.exit_code) + tail;
  return fmt::format("{:>5}  {}  {:<8} {} {}{}{}\n", r.seq, r.wall_time, r.phase, r.tool, r.verb,
                     files, tail);
}

Report Show(const std::string& folder) {
  const Verification v = VerifyLedger(folder, {.log_key = {}, .tool_key = {}, .files = false});
  if (!v.verified()) throw CheckFailedError("{}: {}", folder, v.contradictions.front());
  Report report;
  Json list = Json::array();
  for (const Record& record : v.records) {
    report.text += Line(record);
    list.push_back(Json::parse(ToJson(record)));
  }
  if (v.records.empty()) report.text = folder + ": no records\n";
  report.json = list.dump() + "\n";
  return report;
}

Report Note(RunScope& scope, const std::string& folder) {
  const std::string& message = scope.Input("message");
  LedgerWriter writer(folder, LoadKeys(KeyFolder(scope)));
  if (!scope.Begin({.what = "add a note to " + folder})) return {};
  Record record;
  StampRecord(&record);
  record.phase = "note";
  record.run_id = NewRunId();
  record.tool = "audit";
  record.verb = "log";
  record.message = message;
  const uint64_t index = writer.Append([&](uint64_t seq, const Hash& previous) {
    record.seq = seq;
    record.previous = previous;
    return ToJson(record);
  });
  return {.text = fmt::format("{}: record {}\n", folder, index),
          .json = Json{{"seq", index}}.dump() + "\n"};
}

}  // namespace

Report Log(const NoConfig&, RunScope& scope) {
  const std::string& action = scope.Input("action");
  const std::string& folder = scope.Input("folder");
  if (action == "init") return Init(scope, folder);
  if (action == "show") return Show(folder);
  if (action == "note") return Note(scope, folder);
  throw UsageError("log {}: init, show or note wanted", action);
}

Report Key(const NoConfig&, RunScope& scope) {
  const std::string& action = scope.Input("action");
  const std::string& folder = scope.Input("folder");
  if (action != "new" && action != "show") throw UsageError("key {}: new or show wanted", action);
  if (action == "new" && !scope.Begin({.what = "make keys in " + folder})) return {};
  const LedgerKeys keys =
      action == "show"
          ? LoadKeys(folder)
          : CreateKeys(folder, scope.Has("origin") ? scope.Input("origin") : DefaultOrigin());
  return {.text = KeyText(keys), .json = KeyJson(keys).dump() + "\n"};
}

}  // namespace suffice::audit
