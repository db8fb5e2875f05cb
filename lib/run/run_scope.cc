// SPDX-License-Identifier: Apache-2.0
#include "lib/run/run_scope.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <set>

#include "lib/base/digest.h"
#include "lib/base/error.h"
#include "lib/io/atomic_file.h"
#include "lib/ledger/log.h"
#include "lib/ledger/verify.h"
#include "lib/run/checkpoint_shards.h"
#include "lib/run/run_clock.h"
#include "lib/run/signals.h"

namespace suffice {
namespace {

// FLOP/s of a product of the size that models are made of, the best of a few runs: what predictions
// are based on. A GPU's is one of bf16, and large enough to fill it.
double MeasureRate(Context& context) {
  const bool gpu = context.backend().device_kind == DeviceKind::kCuda;
  const int64_t size = gpu ? 4096 : 768;
  const DType dtype = gpu ? DType::kBF16 : DType::kF32;
  const Tensor a = Tensor::Zeros(context, dtype, {size, size});
  const Tensor b = Tensor::Zeros(context, dtype, {size, size});
  const Tensor out(context, dtype, {size, size});
  LinearParams product;
  product.a = a;
  product.b = b;
  product.out = out;
  const double flops = 2.0 * std::pow(static_cast<double>(size), 3);
  double best = 0;
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < 5; ++i) {
    const auto start = std::chrono::steady_clock::now();
    context.Run(product);
    context.backend().synchronize(context);
    const auto end = std::chrono::steady_clock::now();
    best = std::max(best, flops / std::chrono::duration<double>(end - start).count());
    if (end - begin > std::chrono::milliseconds(200)) break;
  }
  return best;
}

std::string Bytes(uint64_t bytes) {
  if (bytes >= (uint64_t{1} << 30))
    return fmt::format("{:.2f} GiB", static_cast<double>(bytes) / (1 << 30));
  return fmt::format("{:.1f} MiB", static_cast<double>(bytes) / (1 << 20));
}

}  // namespace

RunScope::RunScope(const Invocation& invocation, std::string config_yaml, std::FILE* err)
    : invocation_(invocation),
      config_yaml_(std::move(config_yaml)),
      config_sha256_(Hex(Sha256Of(config_yaml_))),
      clock_(std::make_unique<Clock>()),
      run_id_(NewRunId()) {
  const VerbInfo& info = invocation_.verb->info;
  progress_ = std::make_unique<Progress>(info.tool + " " + info.name, options(), err);
  if (!options().ledger.empty() && !options().dry_run) {
    if (options().keys.empty())
      throw UsageError("--ledger {}: --keys is needed to sign", options().ledger);
    ledger_ = std::make_unique<LedgerWriter>(options().ledger, LoadKeys(options().keys));
  }
}

RunScope::~RunScope() = default;

bool RunScope::Has(const std::string& role) const {
  const auto found = invocation_.arguments.find(role);
  return found != invocation_.arguments.end() && !found->second.empty();
}

const std::string& RunScope::Input(const std::string& role) const {
  if (!Has(role)) throw UsageError("{}: missing", role);
  return invocation_.arguments.at(role).front();
}

std::vector<std::string> RunScope::Inputs(const std::string& role) const {
  return Has(role) ? invocation_.arguments.at(role) : std::vector<std::string>{};
}

std::vector<std::string> RunScope::DistinctInputs(const std::string& role) {
  std::map<std::string, std::string> seen;  // digest -> path
  for (const std::string& path : Inputs(role)) {
    const auto [first, added] = seen.emplace(DigestOf(path), path);
    if (added) continue;
    throw UsageError("{} {}: is given twice{}", role, path,
                     first->second == path ? "" : ", also as " + first->second);
  }
  return Inputs(role);
}

Context& RunScope::context() {
  if (!context_) {
    context_ = std::make_unique<Context>(options().context);
    if (begun_ && options().profile) context_->StartProfile();
    progress_->Verbose(
        fmt::format("backend {}, {} threads", context_->Describe(), context_->pool().threads()));
  }
  return *context_;
}

const std::string& RunScope::DigestOf(const std::string& path) {
  const auto found = digests_.find(path);
  if (found != digests_.end()) return found->second;
  return digests_[path] = ContentDigest(path);
}

const ShardPart& RunScope::TakePart(int64_t total, const std::string& what, int64_t together) {
  SUFFICE_CHECK(invocation_.verb->info.shards && !part_);
  items_ = what;
  return part_.emplace(PartOf(shard(), total, what, together));
}

double RunScope::PredictSeconds(double flops) {
  if (gflops_ == 0) gflops_ = MeasureRate(context());
  return flops / gflops_;
}

bool RunScope::Begin(const Plan& plan) {
  const VerbInfo& info = invocation_.verb->info;
  double seconds = plan.seconds;
  if (seconds == 0 && plan.flops > 0 && info.uses_backend) seconds = PredictSeconds(plan.flops);

  std::vector<std::string> lines = {plan.what};
  lines.insert(lines.end(), plan.details.begin(), plan.details.end());
  if (part_ && (sharded() || part_->shard.from_slurm)) {
    lines.push_back(fmt::format("shard {} of {}{}: {} {}-{} of {}", part_->shard.index,
                                part_->shard.count,
                                part_->shard.from_slurm ? " (from the Slurm array)" : "", items_,
                                part_->begin + 1, part_->end, part_->total));
  }
  std::string cost;
  if (plan.flops > 0) cost += fmt::format("{:.3g} GFLOP", plan.flops * 1e-9);
  if (seconds > 0) cost += fmt::format("{}about {:.3g} s", cost.empty() ? "" : ", ", seconds);
  if (plan.memory_bytes > 0) {
    cost += fmt::format("{}at most {}", cost.empty() ? "" : ", ", Bytes(plan.memory_bytes));
  }
  if (info.uses_backend) {
    cost += fmt::format("{}on {}", cost.empty() ? "" : ", ", context().Describe());
    // `auto` did not take what it prefers: say why, once.
    if (!context().passed_over().empty()) cost += fmt::format(" ({})", context().passed_over());
  }
  if (!cost.empty()) lines.push_back(cost);
  std::set<std::string> claimed;
  for (const Argument& argument : info.arguments) {
    if (argument.kind != ArgumentKind::kOutput) continue;
    for (const std::string& path : Inputs(argument.role)) {
      if (path != "-") CheckOutput(path, options().force);
      lines.push_back(fmt::format("{} {}", options().dry_run ? "would write" : "writes", path));
    }
  }
  progress_->Plan(lines, {{"gflop", plan.flops * 1e-9},
                          {"predicted_seconds", seconds},
                          {"memory_bytes", static_cast<int64_t>(plan.memory_bytes)}});
  if (options().dry_run) return false;

  if (options().budget_seconds) {
    const double left = *options().budget_seconds - clock_->spent_before;
    if (left <= 0)
      throw RefusedError("budget: {:.3g} s, all of it spent", *options().budget_seconds);
    if (seconds > left)
      throw RefusedError("budget: {:.3g} s are left, the plan wants {:.3g} s", left, seconds);
  }
  if (options().deadline_seconds) {
    const double left = *options().deadline_seconds - clock_->SinceStart();
    if (left <= 0)
      throw RefusedError("deadline: {:.3g} s from the start, all of it gone",
                         *options().deadline_seconds);
    if (seconds > left)
      throw RefusedError("deadline: in {:.3g} s, the plan wants {:.3g} s", left, seconds);
  }
  for (const Argument& argument : info.arguments) {
    if (argument.kind != ArgumentKind::kOutput) continue;
    for (const std::string& path : Inputs(argument.role)) {
      if (path == "-") continue;
      if (!claimed.insert(path).second) throw UsageError("{}: two outputs have this name", path);
      claims_.emplace_back(path);
    }
  }
  if (info.resumable && Has("output") && Output() != "-") {
    RemoveStaleTemporaries(CheckpointPath());
    if (info.large_state) RemoveOtherShards(CheckpointPath());
  }
  if (context_ && options().profile) context_->StartProfile();  // of the work, not of the plan
  clock_->BeginWork();
  profile_from_ = SpentSeconds();
  begun_ = true;
  if (ledger_) Append(NewRecord("intent"));
  return true;
}

FileHeader RunScope::Header(EncodingType type) {
  const VerbInfo& info = invocation_.verb->info;
  FileHeader header;
  header.encoding_type = type;
  header.config = config_yaml_;
  for (const FileRef& input : InputRefs()) header.inputs[input.role] = input.digest;
  if (info.uses_seed) header.seed = options().seed;
  if (info.uses_backend) header.backend = context().Describe();
  return header;
}

TensorWriter RunScope::NewFile(EncodingType type, const std::string& role) {
  SUFFICE_CHECK(part_ || !invocation_.verb->info.shards);
  const bool checkpoint = type == EncodingType::kCheckpoint;
  TensorWriter writer = checkpoint ? Open(CheckpointPath(), Header(type), true)
                                   : Open(Input(role), Header(type), options().force);
  if (sharded()) WritePart(*part_, &writer);
  return writer;
}

TensorWriter RunScope::NewFile(const FileHeader& header, const std::string& role) {
  return Open(Input(role), header, options().force);
}

// Adds who, when, where and from what: outside the content digest.
TensorWriter RunScope::Open(const std::string& path, const FileHeader& header, bool force) {
  TensorWriter writer(path, header, {.force = force});
  const Record stamp = NewRecord("result");
  std::string command;
  for (const std::string& word : invocation_.argv) command += (command.empty() ? "" : " ") + word;
  std::vector<std::string> history;
  for (const FileRef& input : InputRefs()) {
    if (std::filesystem::is_directory(input.path) || !IsTensorFile(input.path)) continue;
    const TensorReader reader(input.path);
    if (auto lines = reader.StringListAttribute(kRunGroup, "history")) {
      for (std::string& line : *lines) {
        if (std::find(history.begin(), history.end(), line) == history.end())
          history.push_back(std::move(line));
      }
    }
  }
  history.push_back(fmt::format("{} {} {}", stamp.wall_time, stamp.version, command));
  const std::string group(kRunGroup);
  writer.Attribute(group, "command", command);
  writer.Attribute(group, "host", stamp.host);
  writer.Attribute(group, "time", stamp.wall_time);
  writer.Attribute(group, "run-id", run_id_);
  writer.Attribute(group, "seconds", SpentSeconds());
  writer.Attribute(group, "history", history);
  return writer;
}

void RunScope::Commit(TensorWriter writer) {
  const std::string path = writer.path();
  writer.Commit();
  AddOutput(path);
}

void RunScope::WriteText(const std::string& path, const std::string& text) {
  if (path == "-") {
    std::fwrite(text.data(), 1, text.size(), stdout);
    return;
  }
  AtomicFile file(path, options().force);
  file.Write(text);
  file.Commit();
  AddOutput(path);
}

void RunScope::AddOutput(const std::string& path, const std::string& role) {
  digests_.erase(path);
  if (ledger_) outputs_.push_back({role, PathInLedger(options().ledger, path), DigestOf(path)});
}

}  // namespace suffice
