// SPDX-License-Identifier: Apache-2.0
// RunScope: what goes into the ledger.
#include <filesystem>

#include "lib/base/digest.h"
#include "lib/base/error.h"
#include "lib/ledger/log.h"
#include "lib/ledger/verify.h"
#include "lib/run/checkpoint_shards.h"
#include "lib/run/run_clock.h"
#include "lib/run/run_scope.h"

namespace suffice {

// One entry per input file; a role given several times is numbered: clips.0, clips.1.
std::vector<FileRef> RunScope::InputRefs() {
  std::vector<FileRef> refs;
  for (const Argument& argument : invocation_.verb->info.arguments) {
    if (argument.kind != ArgumentKind::kInput) continue;
    const std::vector<std::string> paths = Inputs(argument.role);
    for (size_t i = 0; i < paths.size(); ++i) {
      if (paths[i] == "-") continue;
      const std::string role =
          paths.size() > 1 ? fmt::format("{}.{}", argument.role, i) : argument.role;
      refs.push_back({role, paths[i], DigestOf(paths[i])});
    }
  }
  return refs;
}

Record RunScope::NewRecord(const std::string& phase) {
  const VerbInfo& info = invocation_.verb->info;
  Record record;
  StampRecord(&record);
  record.phase = phase;
  record.run_id = run_id_;
  record.tool = info.tool;
  record.verb = info.name;
  record.argv = invocation_.argv;
  record.config = config_yaml_;
  record.config_sha256 = config_sha256_;
  if (info.uses_seed) record.seed = options().seed;
  if (context_) record.backend = context_->Describe();
  if (sharded()) record.facts["shard"] = shard().Name();
  return record;
}

void RunScope::Append(Record record) {
  if (record.phase == "intent") {
    record.inputs = InputRefs();
    for (FileRef& file : record.inputs) file.path = PathInLedger(options().ledger, file.path);
    for (const Argument& argument : invocation_.verb->info.arguments) {
      if (argument.kind != ArgumentKind::kOutput) continue;
      for (const std::string& path : Inputs(argument.role)) {
        if (path == "-") continue;
        record.outputs.push_back({argument.role, PathInLedger(options().ledger, path), ""});
      }
    }
  }
  ledger_->Append([&](uint64_t index, const Hash& previous) {
    record.seq = index;
    record.previous = previous;
    return ToJson(record);
  });
}

void RunScope::ReportProfile() {
  if (!begun_ || !context_ || context_->profile() == nullptr) return;
  const double all = SpentSeconds() - profile_from_;
  const auto line = [&](const std::string& operation, int64_t calls, double seconds) {
    const double share = all > 0 ? seconds / all : 0;
    progress_->Line(fmt::format("profile: {:<38} {:>8} calls {:>10.4f} s {:>5.1f} %", operation,
                                calls, seconds, 100 * share),
                    {{"operation", operation}, {"calls", calls}, {"seconds", seconds}});
  };
  int64_t calls = 0;
  double together = 0;
  for (const OperationProfile::Row& row : context_->profile()->Rows()) {
    line(row.operation, row.calls, row.seconds);
    calls += row.calls;
    together += row.seconds;
  }
  line("operations together", calls, together);
  progress_->Line(fmt::format("profile: {:.4f} s in all", all), {{"seconds", all}});
}

void RunScope::Close(const std::string& phase, ExitCode code, const std::string& message,
                     const std::map<std::string, std::string>& facts) {
  if (closed_) return;
  closed_ = true;
  ReportProfile();
  const VerbInfo& info = invocation_.verb->info;
  if (phase == "result" && begun_ && info.resumable && Has("output") && Output() != "-") {
    std::error_code ignored;  // done: what a checkpoint was kept for
    std::filesystem::remove(CheckpointPath(), ignored);
    if (info.large_state) RemoveOtherShards(CheckpointPath());
  }
  if (!ledger_ || (!begun_ && phase != "refusal")) return;
  Record record = NewRecord(phase);
  record.outputs = outputs_;
  record.seconds = SpentSeconds();
  record.exit_code = static_cast<int>(code);
  record.message = message;
  record.facts.insert(facts.begin(), facts.end());
  Append(std::move(record));
}

}  // namespace suffice
