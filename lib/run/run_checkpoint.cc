// SPDX-License-Identifier: Apache-2.0
// RunScope: stopping, checkpoints, resuming.
#include <filesystem>
#include <map>
#include <set>

#include "lib/base/digest.h"
#include "lib/base/error.h"
#include "lib/base/version.h"
#include "lib/run/checkpoint_shards.h"
#include "lib/run/run_clock.h"
#include "lib/run/run_scope.h"
#include "lib/run/signals.h"

namespace suffice {
namespace {

constexpr char kStateGroup[] = "/state";

}  // namespace

std::string RunScope::CheckpointPath() const { return Output() + ".checkpoint"; }

double RunScope::SpentSeconds() const { return clock_->Spent(); }

bool RunScope::StopRequested() const {
  if (StopSignalled()) return true;
  if (options().budget_seconds && clock_->Spent() >= *options().budget_seconds) return true;
  return options().deadline_seconds && clock_->SinceStart() >= *options().deadline_seconds;
}

bool RunScope::CheckpointDue() const {
  return StopRequested() || Clock::Since(clock_->checkpoint) >= options().checkpoint_seconds;
}

std::optional<TensorReader> RunScope::OpenCheckpoint() {
  const std::string path = CheckpointPath();
  if (!std::filesystem::exists(path)) {
    if (options().resume) progress_->Line(path + ": no checkpoint, starting from the beginning");
    return std::nullopt;
  }
  if (!options().resume) {
    if (options().force) return std::nullopt;
    throw UsageError("{}: exists; --resume goes on from it, --force starts over", path);
  }
  TensorReader reader(path, EncodingType::kCheckpoint);
  const VerbInfo& info = invocation_.verb->info;
  const std::string command = info.tool + " " + info.name;
  const auto refuse = [&](const char* what, const std::string& theirs, const std::string& ours) {
    throw UsageError("{}: its {} is {}, this run's {}; --force starts over{}", path, what, theirs,
                     ours, options().force ? " without --resume" : "");
  };
  const std::string theirs = reader.StringAttribute(kStateGroup, "command").value_or("unknown");
  if (theirs != command) refuse("command", theirs, command);
  // Another build may round otherwise, and what it makes says that it alone made it.
  if (reader.header().producer != Producer()) {
    throw UsageError(
        "{}: its producer is {}, this run's {}; go on with the former, or start over with --force",
        path, reader.header().producer, Producer());
  }
  if (reader.header().config_sha256 != config_sha256_) {
    refuse("config", reader.header().config_sha256.substr(0, 12), config_sha256_.substr(0, 12));
  }
  if (info.shards) {
    const auto part = ReadPart(reader);
    const Shard whose = part ? part->shard : Shard{};
    if (whose.Name() != shard().Name()) refuse("shard", whose.Name(), shard().Name());
  }
  if (info.uses_seed && reader.header().seed.value_or(-1) != options().seed) {
    refuse("seed", fmt::format("{}", reader.header().seed.value_or(-1)),
           fmt::format("{}", options().seed));
  }
  if (info.uses_backend && reader.header().backend != context().Describe()) {
    refuse("backend", reader.header().backend, context().Describe());
  }
  const auto& their_inputs = reader.header().inputs;
  std::map<std::string, std::string> our_inputs;
  for (const FileRef& input : InputRefs()) our_inputs[input.role] = input.digest;
  std::set<std::string> roles;
  for (const auto& [role, digest] : their_inputs) roles.insert(role);
  for (const auto& [role, digest] : our_inputs) roles.insert(role);
  for (const std::string& role : roles) {
    const auto of = [&](const std::map<std::string, std::string>& inputs) {
      const auto found = inputs.find(role);
      return found == inputs.end() ? std::string("missing") : found->second;
    };
    const std::string old = of(their_inputs), now = of(our_inputs);
    if (old != now) refuse(role.c_str(), old.substr(0, 12), now.substr(0, 12));
  }
  clock_->spent_before = reader.FloatAttribute(kStateGroup, "spent-seconds").value_or(0);
  progress_->Line(fmt::format("{}: going on after {:.3g} s of work", path, clock_->spent_before));
  return reader;
}

void RunScope::SaveCheckpoint(const std::function<void(TensorWriter&)>& fill,
                              const std::vector<NamedArray>& arrays) {
  const VerbInfo& info = invocation_.verb->info;
  const bool stopping = StopRequested();
  TensorWriter writer = NewFile(EncodingType::kCheckpoint);
  writer.Attribute(kStateGroup, "command", info.tool + " " + info.name);
  writer.Attribute(kStateGroup, "spent-seconds", SpentSeconds());
  fill(writer);
  if (options().checkpoint_shard_bytes > 0 && !arrays.empty()) {
    const std::string id = fmt::format("{}-{}", run_id_, ++shard_sets_);
    WriteShards(&writer, CheckpointPath(), Header(EncodingType::kCheckpoint), id, arrays,
                options().checkpoint_shard_bytes);
  } else {
    WriteArrays(&writer, arrays);
  }
  writer.Commit();
  if (info.large_state) RemoveOtherShards(CheckpointPath());
  clock_->checkpoint = Clock::Steady::now();
  if (stopping) Stop();
}

void RunScope::Stop() const {
  const char* why = StopSignalled() ? "on request"
                    : options().budget_seconds && clock_->Spent() >= *options().budget_seconds
                        ? "with the budget spent"
                        : "at the deadline";
  throw StoppedError("stopped {}: {} written, run again with --resume", why, CheckpointPath());
}

}  // namespace suffice
