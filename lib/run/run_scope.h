// SPDX-License-Identifier: Apache-2.0
// One run of a verb: plan -> intent record -> act -> result record, with signals, progress, budget
// and resume, the same for every verb. A verb's body follows this form:
//
//   Report Sample(const SampleConfig& config, RunScope& scope) {
//     TensorReader model(scope.Input("model"), EncodingType::kModel);    // read and check
//     everything if (!scope.Begin({.what = "sample 4 clips", .flops = f})) return {};  // --dry-run
//     ends here for (...) {
//       if (scope.CheckpointDue()) scope.SaveCheckpoint([&](TensorWriter& w) { ... });  // may not
//       return scope.progress().Step(done, total, "...");
//     }
//     TensorWriter out = scope.NewFile(EncodingType::kSamples);
//     ...
//     scope.Commit(std::move(out));
//     return report;
//   }
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kernels/backend.h"
#include "lib/io/output_claim.h"
#include "lib/io/tensor_file.h"
#include "lib/ledger/record.h"
#include "lib/nn/parameter.h"
#include "lib/run/progress.h"
#include "lib/run/verb.h"

namespace suffice {

class LedgerWriter;

struct Plan {
  std::string what;                       // "sample 4 clips in 20 steps"
  std::vector<std::string> details = {};  // shapes, densities, ...: one line each
  double flops = 0;                       // still to do
  double seconds = 0;         // predicted; 0: from flops and this machine's measured rate
  uint64_t memory_bytes = 0;  // at most, on the device
};

class RunScope {
 public:
  // `config_yaml` is the resolved config, which goes into outputs and records.
  RunScope(const Invocation& invocation, std::string config_yaml, std::FILE* err = stderr);
  ~RunScope();

  // --- what was asked for
  const Options& options() const { return invocation_.options; }
  bool Has(const std::string& role) const;
  const std::string& Input(const std::string& role) const;  // the one value of a given argument
  std::vector<std::string> Inputs(const std::string& role) const;  // all of them, perhaps none
  // The same for a role whose files must differ. Throws kUsage where two have one content digest.
  std::vector<std::string> DistinctInputs(const std::string& role);
  const std::string& Output() const { return Input("output"); }
  uint64_t seed() const { return static_cast<uint64_t>(options().seed); }
  const std::string& config_yaml() const { return config_yaml_; }
  const std::string& config_sha256() const { return config_sha256_; }
  Context& context();  // opened on first use; `auto` says once what it took
  Progress& progress() { return *progress_; }
  // Content digest of a file, computed once.
  const std::string& DigestOf(const std::string& path);

  // --- shards
  // The range of `total` items that this run does, all without --shard: see PartOf. Asked for by a
  // verb with `shards`, once and before OpenCheckpoint; goes into the plan, checkpoints and
  // outputs.
  const ShardPart& TakePart(int64_t total, const std::string& what, int64_t together = 1);
  Shard shard() const { return options().shard.value_or(Shard{}); }
  bool sharded() const { return !shard().whole(); }

  // --- plan
  // Shows the plan and writes the intent record. False with --dry-run: return at once. Throws
  // kRefused when the prediction exceeds what is left of --budget or --deadline, kUsage when an
  // output exists.
  bool Begin(const Plan& plan);
  double PredictSeconds(double flops);  // at this machine's rate for a product, measured once

  // --- stop and resume
  // The checkpoint to go on from, with --resume and if there is one; checked to belong to this
  // command, producer, config, shard, seed, backend and inputs (else kUsage). Call before Begin.
  std::optional<TensorReader> OpenCheckpoint();
  // A stop was requested (signal, budget or deadline spent), or the interval has passed.
  bool CheckpointDue() const;
  bool StopRequested() const;
  std::string CheckpointPath() const;
  // Writes OUTPUT.checkpoint with what `fill` adds and `arrays`, these in shards if that was asked
  // for (checkpoint_shards.h); then throws kStopped if a stop was requested.
  void SaveCheckpoint(const std::function<void(TensorWriter&)>& fill,
                      const std::vector<NamedArray>& arrays = {});
  [[noreturn]] void Stop() const;  // throws kStopped, of a checkpoint that is there
  double SpentSeconds() const;     // compute time, this start and those it resumes

  // --- act
  // The root attributes of a file of this run.
  FileHeader Header(EncodingType type);
  // A new tensor file at the output argument `role`, with header, provenance and history written.
  TensorWriter NewFile(EncodingType type, const std::string& role = "output");
  // The same with the header of the whole that this run puts together: see generate merge.
  TensorWriter NewFile(const FileHeader& header, const std::string& role = "output");
  void Commit(TensorWriter writer);
  // A text output, atomically; "-" is stdout.
  void WriteText(const std::string& path, const std::string& text);
  // Any other file that the verb has made whole: goes into the closing record.
  void AddOutput(const std::string& path, const std::string& role = "output");

  // --- end (called by RunVerb)
  void Close(const std::string& phase, ExitCode code, const std::string& message,
             const std::map<std::string, std::string>& facts);

 private:
  struct Clock;
  TensorWriter Open(const std::string& path, const FileHeader& header, bool force);
  Record NewRecord(const std::string& phase);
  void Append(Record record);
  std::vector<FileRef> InputRefs();
  void ReportProfile();

  Invocation invocation_;
  std::string config_yaml_;
  std::string config_sha256_;
  std::unique_ptr<Progress> progress_;
  std::unique_ptr<Context> context_;
  std::unique_ptr<LedgerWriter> ledger_;
  std::unique_ptr<Clock> clock_;
  std::map<std::string, std::string> digests_;
  std::vector<FileRef> outputs_;
  std::vector<OutputClaim> claims_;
  std::optional<ShardPart> part_;
  std::string items_;  // what they are
  std::string run_id_;
  bool begun_ = false;
  bool closed_ = false;
  double gflops_ = 0;
  double profile_from_ = 0;  // seconds spent before this start
  int shard_sets_ = 0;
};

}  // namespace suffice
