// SPDX-License-Identifier: Apache-2.0
#include "lib/ledger/verify.h"

#include <nlohmann/json.hpp>

#include "lib/audit/verbs.h"
#include "lib/base/digest.h"

namespace suffice::audit {
namespace {

using Json = nlohmann::ordered_json;

const char* StateName(FileState state) {
  switch (state) {
    case FileState::kMatches:
      return "matches";
    case FileState::kMissing:
      return "missing";
    case FileState::kDiffers:
      return "differs";
  }
  return "";
}

Json ToJson(const Verification& v, bool ok) {
  Json files = Json::array();
  for (const CheckedFile& file : v.files) {
    files.push_back({{"path", file.newest.path},
                     {"seq", file.seq},
                     {"sha256", file.newest.digest},
                     {"state", StateName(file.state)}});
  }
  return {{"verified", ok},
          {"key_pinned", v.pinned},
          {"origin", v.checkpoint.origin},
          {"size", v.checkpoint.size},
          {"root", Hex(v.checkpoint.root)},
          {"log_key", v.log_key.Line()},
          {"tool_key", v.tool_key.Line()},
          {"contradictions", v.contradictions},
          {"open_intents", v.open_intents},
          {"changed_outside", v.outside},
          {"files", files}};
}

void List(const char* title, const std::vector<std::string>& lines, std::string* text) {
  if (lines.empty()) return;
  *text += fmt::format("{} ({}):\n", title, lines.size());
  for (const std::string& line : lines) *text += "  " + line + "\n";
}

std::string ToText(const std::string& folder, const Verification& v, bool ok) {
  std::string text = fmt::format("{}: {}\n", folder, ok ? "verified" : "NOT verified");
  if (v.checkpoint.origin.empty()) {
    text += "  log: its checkpoint does not hold\n";
  } else {
    text += fmt::format("  log {}, {} records, root {}\n", v.checkpoint.origin, v.checkpoint.size,
                        Hex(v.checkpoint.root).substr(0, 16));
  }
  text += fmt::format("  key {} ({})\n", v.log_key.KeyId(), v.pinned ? "pinned" : "key not pinned");
  text += fmt::format("  {} files named, {} missing\n", v.files.size(), v.missing_files());
  List("contradictions", v.contradictions, &text);
  List("open intents", v.open_intents, &text);
  List("changed outside the ledger", v.outside, &text);
  std::vector<std::string> missing;
  for (const CheckedFile& file : v.files) {
    if (file.state == FileState::kMissing) missing.push_back(file.newest.path);
  }
  List("missing files", missing, &text);
  return text;
}

}  // namespace

Report Verify(const NoConfig&, RunScope& scope) {
  const std::string& folder = scope.Input("folder");
  VerifyOptions options;
  if (scope.Has("key")) options.log_key = ReadPublicKey(scope.Input("key"));
  if (scope.Has("tool-key")) options.tool_key = ReadPublicKey(scope.Input("tool-key"));
  if (!scope.Begin({.what = "verify " + folder})) return {};
  const Verification v = VerifyLedger(folder, options);
  const bool whole = v.open_intents.empty() && v.missing_files() == 0 && v.outside.empty();
  const bool ok = v.verified() && (whole || !scope.Has("strict"));
  Report report{.text = ToText(folder, v, ok), .json = ToJson(v, ok).dump() + "\n"};
  report.facts = {{"verified", ok ? "yes" : "no"}, {"records", std::to_string(v.checkpoint.size)}};
  if (!ok) report.code = ExitCode::kCheckFailed;
  return report;
}

}  // namespace suffice::audit
