// SPDX-License-Identifier: Apache-2.0
// A verb of a tool: a function of the library with a config struct, and the table entry from which
// the command line, the help, the completion and the manual's checks are made.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kernels/backend.h"
#include "lib/config/fields.h"
#include "lib/run/shard.h"

namespace suffice {

class RunScope;

// What a verb gives back. stdout gets `text`, or `json` with --json, or neither if an output is
// there.
struct Report {
  std::string text = {};
  std::string json = {};                          // one JSON value, with a newline
  std::map<std::string, std::string> facts = {};  // short results, for the ledger's closing record
  ExitCode code = ExitCode::kDone;  // kCheckFailed: a check was made and the answer is no
};

enum class ArgumentKind : uint8_t {
  kInput,   // a file that is read; its content digest goes into the output and the ledger
  kOutput,  // a file that is made, whole or not at all
  kConfig,  // a file of config keys, read after those of -c
  kFolder,  // a folder, neither digested nor replaced
  kText,    // anything else
  kSwitch,  // an option without a value: given or not
};

struct Argument {
  std::string role;    // name in messages and digests: "teacher"
  std::string option;  // "--teacher", "-o,--output"; empty: positional
  ArgumentKind kind = ArgumentKind::kInput;
  bool required = true;
  bool many = false;  // may be given more than once
  std::string doc;
  std::string weights = {};  // config key that takes W of values FILE:W, one for each
  bool streams = false;      // an output that "-" may send to stdout
};

// The same for an output that may go to stdout.
inline Argument Streamed(Argument output) {
  output.streams = true;
  return output;
}

struct Example {
  std::string command;  // as typed
  std::string doc;
};

struct VerbInfo {
  std::string tool, name, summary;
  std::string description = {};  // paragraphs, for --help
  std::vector<Argument> arguments = {};
  std::vector<Example> examples = {};
  bool resumable = false;     // checkpoints on SIGTERM, SIGUSR1, --budget, --deadline; --resume
  bool large_state = false;   // checkpoints that may be cut in shards: --checkpoint-shard
  bool uses_backend = false;  // --backend, --isa, --threads, --device
  bool uses_seed = false;     // --seed
  bool shards = false;        // --shard, or a task of a Slurm job array
  bool has_config = true;     // -c, --set, --print-config
};

struct Verb {
  VerbInfo info;
  // A config with its defaults: its fields, and the function bound to it. Both share the config.
  struct Instance {
    Fields fields;
    std::function<Report(RunScope&)> run;
  };
  std::function<Instance()> make;
};

template <class Config>
Verb MakeVerb(VerbInfo info, Report (*function)(const Config&, RunScope&)) {
  return {std::move(info), [function] {
            auto config = std::make_shared<Config>();
            return Verb::Instance{FieldsOf(*config), [config, function](RunScope& scope) {
                                    return function(*config, scope);
                                  }};
          }};
}

// A config without keys.
struct NoConfig {};
inline void Visit(Fields&, NoConfig&) {}

enum class ProgressMode : uint8_t { kAuto, kLines, kBar, kJsonl, kNone };

// The options that every verb shares: one table, in tools/cli.
struct Options {
  std::vector<std::string> config_files;                   // later files win
  std::vector<std::string> sets;                           // key=value
  std::vector<std::pair<std::string, std::string>> flags;  // field path -> value, of named flags
  bool print_config = false;
  bool print_schema = false;
  ContextOptions context;
  int64_t seed = 0;
  std::optional<Shard> shard;  // nothing: the whole
  bool force = false;
  bool dry_run = false;
  bool json = false;
  bool profile = false;
  bool resume = false;
  bool quiet = false;
  int verbose = 0;
  ProgressMode progress = ProgressMode::kAuto;
  std::string color = "auto";
  std::optional<double> budget_seconds;
  std::optional<double> deadline_seconds;
  double checkpoint_seconds = 60;
  uint64_t checkpoint_shard_bytes = 0;  // 0: the checkpoint is one file
  std::string ledger;
  std::string keys;
};

struct Invocation {
  const Verb* verb = nullptr;
  Options options;
  std::map<std::string, std::vector<std::string>> arguments;  // role -> values
  std::vector<std::string> argv;
};

}  // namespace suffice
