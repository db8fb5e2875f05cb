// SPDX-License-Identifier: Apache-2.0
#include "lib/run/run_verb.h"

#include <filesystem>
#include <new>

#include "lib/base/error.h"
#include "lib/config/yaml.h"
#include "lib/run/run_scope.h"
#include "lib/run/signals.h"

namespace suffice {
namespace {

void Print(std::FILE* out, const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), out);
}

// default < file < --set < named flag; files given by an argument of their own after those of -c.
void ResolveConfig(const Invocation& invocation, const Fields& fields, Origins* origins) {
  const Options& options = invocation.options;
  for (const std::string& path : options.config_files) LoadYamlFile(path, fields, origins);
  for (const Argument& argument : invocation.verb->info.arguments) {
    const auto found = invocation.arguments.find(argument.role);
    if (argument.kind != ArgumentKind::kConfig || found == invocation.arguments.end()) continue;
    for (const std::string& path : found->second) LoadYamlFile(path, fields, origins);
  }
  for (const std::string& set : options.sets) SetField(fields, set, "--set", origins);
  for (const auto& [path, value] : options.flags) {
    std::string flag = path;
    for (const FieldRow& row : FieldTable(fields)) {
      if (row.name == path && !row.flag.empty()) flag = "--" + row.flag;
    }
    SetField(fields, path + "=" + value, flag, origins);
  }
}

void CheckInputsExist(const Invocation& invocation) {
  for (const Argument& argument : invocation.verb->info.arguments) {
    if (argument.kind != ArgumentKind::kInput) continue;
    const auto found = invocation.arguments.find(argument.role);
    if (found == invocation.arguments.end()) continue;
    for (const std::string& path : found->second) {
      if (path != "-" && !std::filesystem::exists(path)) throw DataError("{}: no such file", path);
    }
  }
}

// Whether an output goes to stdout, which takes one thing only.
bool TakesStdout(const Invocation& invocation) {
  std::string taken;
  for (const Argument& argument : invocation.verb->info.arguments) {
    const auto found = invocation.arguments.find(argument.role);
    if (argument.kind != ArgumentKind::kOutput || found == invocation.arguments.end()) continue;
    for (const std::string& path : found->second) {
      if (path != "-") continue;
      if (!argument.streams)
        throw UsageError("{} -: an HDF5 file cannot be streamed; the name of a file is wanted",
                         argument.role);
      if (!taken.empty()) throw UsageError("{} -: stdout is taken by {} -", argument.role, taken);
      taken = argument.role;
    }
  }
  if (!taken.empty() && invocation.options.json)
    throw UsageError("--json: stdout is taken by {} -", taken);
  return !taken.empty();
}

const char* PhaseOf(ExitCode code) {
  switch (code) {
    case ExitCode::kDone:
    case ExitCode::kCheckFailed:
      return "result";
    case ExitCode::kStopped:
      return "stopped";
    case ExitCode::kRefused:
      return "refusal";
    default:
      return "failure";
  }
}

}  // namespace

int RunVerb(const Invocation& invocation, std::FILE* out, std::FILE* err) {
  const VerbInfo& info = invocation.verb->info;
  const std::string name = info.tool + " " + info.name;
  std::unique_ptr<RunScope> scope;
  Report report;
  std::string failure;
  bool taken = false;  // stdout, by an output
  try {
    Verb::Instance instance = invocation.verb->make();
    Origins origins;
    ResolveConfig(invocation, instance.fields, &origins);
    if (invocation.options.print_config || invocation.options.print_schema) {
      Print(out, invocation.options.print_schema ? JsonSchema(instance.fields, name)
                                                 : DumpYaml(instance.fields, &origins));
    } else {
      taken = TakesStdout(invocation);
      CheckInputsExist(invocation);
      InstallSignalHandlers(info.resumable);
      scope = std::make_unique<RunScope>(invocation, DumpYaml(instance.fields), err);
      report = instance.run(*scope);
    }
  } catch (const Error& e) {
    report.code = e.code();
    failure = Printable(e.what());
  } catch (const std::bad_alloc&) {
    report.code = ExitCode::kDevice;
    failure = "out of memory";
  } catch (const std::exception& e) {
    report.code = ExitCode::kFailed;
    failure = Printable(e.what());
  }

  if (failure.empty()) {
    if (!taken) Print(out, invocation.options.json ? report.json : report.text);
    if (std::fflush(out) != 0 || std::ferror(out) != 0) {
      report.code = ExitCode::kFailed;
      failure = "stdout: cannot be written";
    }
  }
  if (scope) {
    try {
      scope->Close(PhaseOf(report.code), report.code, failure, report.facts);
    } catch (const std::exception& e) {
      failure += (failure.empty() ? "ledger: " : "; ledger: ") + std::string(e.what());
      if (report.code == ExitCode::kDone) report.code = ExitCode::kFailed;
    }
    scope.reset();  // ends the heartbeat before the last word
  }
  if (!failure.empty()) std::fprintf(err, "%s: %s\n", name.c_str(), failure.c_str());
  return static_cast<int>(report.code);
}

}  // namespace suffice
