// SPDX-License-Identifier: Apache-2.0
#include "tools/cli/shared_options.h"

#include <charconv>
#include <cmath>

#include "lib/base/error.h"

namespace suffice::cli {
namespace {

template <class T>
T Number(const std::string& option, const std::string& text, T low, T high, const char* wanted) {
  T value{};
  const char* end = text.data() + text.size();
  const auto [stop, status] = std::from_chars(text.data(), end, value);
  if (status != std::errc() || stop != end || !(value >= low && value <= high)) {
    throw UsageError("{} {}: {} wanted", option, text, wanted);
  }
  return value;
}

double Seconds(const std::string& option, const std::string& text) {
  return Number<double>(option, text, 0.0, 1e9, "seconds");
}

// "512M": binary multiples.
uint64_t Bytes(const std::string& option, const std::string& text) {
  constexpr char kWanted[] = "a size such as 512M or 2G";
  const size_t unit = std::string("KMGT").find(text.empty() ? ' ' : text.back());
  if (unit == std::string::npos)
    return Number<uint64_t>(option, text, 1, uint64_t{1} << 50, kWanted);
  const std::string number = text.substr(0, text.size() - 1);
  return Number<uint64_t>(option, number, 1, uint64_t{1} << 20, kWanted) << 10 * (unit + 1);
}

ProgressMode ParseProgress(const std::string& text) {
  if (text == "auto") return ProgressMode::kAuto;
  if (text == "lines") return ProgressMode::kLines;
  if (text == "bar") return ProgressMode::kBar;
  if (text == "jsonl") return ProgressMode::kJsonl;
  if (text == "none") return ProgressMode::kNone;
  throw UsageError("--progress {}: auto, lines, bar, jsonl or none wanted", text);
}

std::string ParseColor(const std::string& text) {
  if (text == "auto" || text == "never" || text == "always") return text;
  throw UsageError("--color {}: auto, never or always wanted", text);
}

bool HasOutput(const VerbInfo& info) {
  for (const Argument& argument : info.arguments) {
    if (argument.kind == ArgumentKind::kOutput) return true;
  }
  return false;
}

}  // namespace

const std::vector<SharedOption>& SharedOptions() {
  const auto always = [](const VerbInfo&) { return true; };
  const auto config = [](const VerbInfo& info) { return info.has_config; };
  const auto backend = [](const VerbInfo& info) { return info.uses_backend; };
  const auto seed = [](const VerbInfo& info) { return info.uses_seed; };
  const auto shards = [](const VerbInfo& info) { return info.shards; };
  const auto resumable = [](const VerbInfo& info) { return info.resumable; };
  static const std::vector<SharedOption> options = {
      {"-c,--config", "FILE", "YAML config; of several the later wins", "Configuration", config,
       [](Options& o, const std::string& v) { o.config_files.push_back(v); }, true},
      {"--set", "KEY=VALUE", "set one config key, as in a.b=c", "Configuration", config,
       [](Options& o, const std::string& v) { o.sets.push_back(v); }, true},
      {"--print-config", "", "print the resolved config with the origin of each value, and end",
       "Configuration", config, [](Options& o, const std::string&) { o.print_config = true; }},
      {"--print-schema", "", "print the config's JSON Schema, and end", "Configuration", config,
       [](Options& o, const std::string&) { o.print_schema = true; }},
      {"--seed", "N", "seed of everything random (0)", "Computation", seed,
       [](Options& o, const std::string& v) {
         o.seed = Number<int64_t>("--seed", v, 0, INT64_MAX, "an integer from 0");
       }},
      {"--shard", "I/N",
       "do the I-th of N parts, from 0; in a Slurm array its task unless given, 0/1 is the whole",
       "Computation", shards, [](Options& o, const std::string& v) { o.shard = ParseShard(v); }},
      {"--backend", "NAME", "auto, cuda, cpu or ref (auto)", "Computation", backend,
       [](Options& o, const std::string& v) { o.context.backend = v; }},
      {"--isa", "NAME",
       "cpu: auto, portable, avx2, avx512 or avx512bf16; cuda: auto, sm_80 or sm_90a (auto)",
       "Computation", backend, [](Options& o, const std::string& v) { o.context.isa = v; }},
      {"--threads", "N", "threads; 0 is one per core this process may use (0)", "Computation",
       backend,
       [](Options& o, const std::string& v) {
         o.context.threads = Number<int>("--threads", v, 0, 4096, "an integer from 0 to 4096");
       }},
      {"--device", "N", "which device of the backend, such as which GPU (0)", "Computation",
       backend,
       [](Options& o, const std::string& v) {
         o.context.device = Number<int>("--device", v, 0, 1023, "an integer from 0");
       }},
      {"--profile", "", "say at the end where the time went, by operation, on stderr",
       "Computation", backend, [](Options& o, const std::string&) { o.profile = true; }},
      {"--budget", "SECONDS",
       "compute time, over all resumes: refuse a plan beyond it, stop when spent", "Limits",
       resumable,
       [](Options& o, const std::string& v) { o.budget_seconds = Seconds("--budget", v); }},
      {"--deadline", "SECONDS",
       "wall-clock time from this start: refuse a plan beyond it, stop at it", "Limits", resumable,
       [](Options& o, const std::string& v) { o.deadline_seconds = Seconds("--deadline", v); }},
      {"--resume", "", "go on from OUTPUT.checkpoint if there is one", "Limits", resumable,
       [](Options& o, const std::string&) { o.resume = true; }},
      {"--checkpoint-every", "SECONDS", "between checkpoints (60)", "Limits", resumable,
       [](Options& o, const std::string& v) {
         o.checkpoint_seconds = Seconds("--checkpoint-every", v);
       }},
      {"--checkpoint-shard", "SIZE",
       "keep a checkpoint's arrays in files with at most SIZE of them, as in 512M or 2G", "Limits",
       [](const VerbInfo& info) { return info.large_state; },
       [](Options& o, const std::string& v) {
         o.checkpoint_shard_bytes = Bytes("--checkpoint-shard", v);
       }},
      {"--force", "", "replace an existing output", "Output", HasOutput,
       [](Options& o, const std::string&) { o.force = true; }},
      {"--dry-run", "", "resolve everything, print the plan, touch nothing", "Output", always,
       [](Options& o, const std::string&) { o.dry_run = true; }},
      {"--json", "", "print the report as JSON", "Output", always,
       [](Options& o, const std::string&) { o.json = true; }},
      {"--progress", "MODE", "auto, lines, bar, jsonl or none (auto), on stderr", "Output", always,
       [](Options& o, const std::string& v) { o.progress = ParseProgress(v); }},
      {"--color", "WHEN", "auto, never or always (auto); NO_COLOR is respected", "Output", always,
       [](Options& o, const std::string& v) { o.color = ParseColor(v); }},
      {"-q,--quiet", "", "warnings and errors only", "Output", always,
       [](Options& o, const std::string&) { o.quiet = true; }},
      {"-v,--verbose", "", "more detail", "Output", always,
       [](Options& o, const std::string&) { ++o.verbose; }, true},
      {"--ledger", "DIR", "record what is done in this ledger", "Ledger", always,
       [](Options& o, const std::string& v) { o.ledger = v; }},
      {"--keys", "DIR", "the ledger's private keys", "Ledger", always,
       [](Options& o, const std::string& v) { o.keys = v; }},
  };
  return options;
}

std::string LongName(const std::string& names) {
  const size_t comma = names.find(',');
  return comma == std::string::npos ? names : names.substr(comma + 1);
}

bool HasShort(const std::string& names) { return names.find(',') != std::string::npos; }

}  // namespace suffice::cli
