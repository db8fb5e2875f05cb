// SPDX-License-Identifier: Apache-2.0
#include "tools/cli/tool_main.h"

#include <CLI/CLI.hpp>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "lib/base/error.h"
#include "lib/base/nearest.h"
#include "lib/config/yaml.h"
#include "lib/run/run_verb.h"
#include "tools/cli/shared_options.h"

namespace suffice::cli {
namespace {

int Say(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return 0;
  std::fprintf(stderr, "stdout: cannot be written\n");
  return static_cast<int>(ExitCode::kFailed);
}

// Values as they came, for each thing that a verb can be told.
struct Parsed {
  std::vector<std::string> words;                             // what is not an option
  std::map<std::string, std::vector<std::string>> arguments;  // by role
  std::vector<std::vector<std::string>> shared;               // by place in SharedOptions
  std::vector<int> counts;                                    // of its flags
  std::map<std::string, std::string> fields;                  // by config path
};

void AddArguments(const Verb& verb, CLI::App* app, Parsed* parsed) {
  app->add_option("words", parsed->words)->expected(-1);
  for (const Argument& argument : verb.info.arguments) {
    std::vector<std::string>& values = parsed->arguments[argument.role];
    if (argument.option.empty()) continue;  // out of the words, in order
    if (argument.kind == ArgumentKind::kSwitch) {
      app->add_flag_callback(argument.option, [&values] { values = {"true"}; });
    } else {
      app->add_option(argument.option, values)
          ->expected(1)
          ->multi_option_policy(argument.many ? CLI::MultiOptionPolicy::TakeAll
                                              : CLI::MultiOptionPolicy::Throw)
          ->allow_extra_args(false);
    }
  }
}

// Hands the words to the positional arguments in order: one each, a `many` argument takes the rest.
void AssignWords(const Verb& verb, Parsed* parsed) {
  size_t next = 0;
  for (const Argument& argument : verb.info.arguments) {
    if (!argument.option.empty()) continue;
    std::vector<std::string>& values = parsed->arguments[argument.role];
    while (next < parsed->words.size() && (argument.many || values.empty())) {
      values.push_back(parsed->words[next++]);
    }
  }
  if (next < parsed->words.size())
    throw UsageError("unexpected argument '{}'", parsed->words[next]);
}

void AddOptions(const Verb& verb, CLI::App* app, Parsed* parsed) {
  const std::vector<SharedOption>& shared = SharedOptions();
  parsed->shared.resize(shared.size());
  parsed->counts.resize(shared.size());
  for (size_t i = 0; i < shared.size(); ++i) {
    if (!shared[i].applies(verb.info)) continue;
    if (shared[i].value.empty()) {
      app->add_flag(shared[i].names, parsed->counts[i]);
    } else {
      app->add_option(shared[i].names, parsed->shared[i])
          ->expected(1)
          ->multi_option_policy(shared[i].many ? CLI::MultiOptionPolicy::TakeAll
                                               : CLI::MultiOptionPolicy::TakeLast)
          ->allow_extra_args(false);
    }
  }
  if (!verb.info.has_config) return;
  for (const FieldRow& row : FieldTable(verb.make().fields)) {
    if (row.flag.empty()) continue;
    std::string& value = parsed->fields[row.name];
    if (row.type == "boolean") {
      app->add_flag_callback("--" + row.flag, [&value] { value = "true"; });
    } else {
      app->add_option("--" + row.flag, value)->expected(1);
    }
  }
}

// Names that begin with a dash and that nobody knows.
void RefuseUnknown(const Verb& verb, const std::vector<std::string>& rest) {
  if (rest.empty()) return;
  std::vector<std::string> known;
  for (const OptionLine& line : OptionLines(verb)) known.push_back(LongName(line.names));
  const std::string& word = rest.front();
  if (word.starts_with("-")) {
    const std::string name = word.substr(0, word.find('='));
    throw UsageError("unknown option '{}'{}", name, DidYouMean(name, known));
  }
  throw UsageError("unexpected argument '{}'", word);
}

// FILE:W of an argument that takes weights: the files, and the weights as its config key's value. A
// file of that very name is a file.
void SplitWeights(const Argument& argument, std::vector<std::string>* values, Options* options) {
  std::string weights, bare;
  size_t weighted = 0;
  for (std::string& value : *values) {
    const size_t colon = value.rfind(':');
    double weight = 0;
    const char* end = value.data() + value.size();
    const bool named = colon == std::string::npos || std::filesystem::exists(value);
    const auto [stop, status] =
        std::from_chars(named ? end : value.data() + colon + 1, end, weight);
    if (named || status != std::errc() || stop != end || !(weight >= 0)) {
      if (bare.empty()) bare = value;
      continue;
    }
    weights += (weighted++ == 0 ? "[" : ", ") + value.substr(colon + 1);
    value.resize(colon);
  }
  if (weighted == 0) return;
  if (weighted != values->size())
    throw UsageError("{} {}: no file with a weight from 0, as FILE:W, which others have",
                     LongName(argument.option), bare);
  options->flags.emplace_back(argument.weights, weights + "]");
}

Invocation ToInvocation(const Verb& verb, const Parsed& parsed, int argc, char** argv) {
  Invocation invocation;
  invocation.verb = &verb;
  invocation.argv.assign(argv, argv + argc);
  Options& options = invocation.options;
  const std::vector<SharedOption>& shared = SharedOptions();
  for (size_t i = 0; i < shared.size(); ++i) {
    for (const std::string& value : parsed.shared[i]) shared[i].store(options, value);
    for (int n = 0; n < parsed.counts[i]; ++n) shared[i].store(options, "");
  }
  if (verb.info.shards && !options.shard) {
    options.shard =
        ShardOfSlurm(std::getenv("SLURM_ARRAY_TASK_ID"), std::getenv("SLURM_ARRAY_TASK_MIN"),
                     std::getenv("SLURM_ARRAY_TASK_COUNT"), std::getenv("SLURM_ARRAY_TASK_STEP"));
  }
  for (const auto& [path, value] : parsed.fields) {
    if (!value.empty()) options.flags.emplace_back(path, value);
  }
  const bool only_prints = options.print_config || options.print_schema;
  for (const Argument& argument : verb.info.arguments) {
    std::vector<std::string> values = parsed.arguments.at(argument.role);
    if (values.empty() && argument.required && !only_prints) {
      const std::string name = argument.option.empty() ? argument.role : LongName(argument.option);
      throw UsageError("{}: missing ({})", name, argument.doc);
    }
    for (const std::string& value : values) {
      if (value.empty()) throw UsageError("{}: an empty name", argument.role);
    }
    if (!argument.weights.empty()) SplitWeights(argument, &values, &options);
    if (!values.empty()) invocation.arguments[argument.role] = values;
  }
  return invocation;
}

int RunParsed(const ToolInfo& tool, const Verb& verb, int argc, char** argv) {
  Invocation invocation;
  try {
    CLI::App app;
    app.set_help_flag();
    app.allow_extras();
    bool help = false;
    app.add_flag("-h,--help", help);
    Parsed parsed;
    AddArguments(verb, &app, &parsed);
    AddOptions(verb, &app, &parsed);
    std::vector<std::string> words(argv + 2, argv + argc);
    std::reverse(words.begin(), words.end());  // as CLI11 wants them
    app.parse(words);
    if (help) return Say(VerbHelp(verb));
    RefuseUnknown(verb, app.remaining());
    AssignWords(verb, &parsed);
    invocation = ToInvocation(verb, parsed, argc, argv);
  } catch (const CLI::ParseError& e) {
    std::fprintf(stderr, "%s %s: %s (see %s %s --help)\n", tool.name.c_str(),
                 verb.info.name.c_str(), Printable(e.what()).c_str(), tool.name.c_str(),
                 verb.info.name.c_str());
    return static_cast<int>(ExitCode::kUsage);
  } catch (const Error& e) {
    std::fprintf(stderr, "%s %s: %s\n", tool.name.c_str(), verb.info.name.c_str(),
                 Printable(e.what()).c_str());
    return static_cast<int>(e.code());
  }
  return RunVerb(invocation);
}

}  // namespace

int ToolMain(const ToolInfo& tool, int argc, char** argv) {
  const auto fail = [&](const std::string& message) {
    std::fprintf(stderr, "%s: %s (see %s --help)\n", tool.name.c_str(), message.c_str(),
                 tool.name.c_str());
    return static_cast<int>(ExitCode::kUsage);
  };
  if (argc < 2) {
    std::fputs(ToolHelp(tool).c_str(), stderr);
    return static_cast<int>(ExitCode::kUsage);
  }
  const std::string first = argv[1];
  const std::string second = argc > 2 ? argv[2] : "";
  if (first == "-h" || first == "--help" || (first == "help" && second.empty()))
    return Say(ToolHelp(tool));
  if (first == "-V" || first == "--version") {
    return Say(VersionText(tool, second == "-v" || second == "--verbose"));
  }
  if (first == "--completion") {
    if (second != "bash") return fail("--completion " + second + ": bash wanted");
    return Say(BashCompletion(tool));
  }
  std::vector<std::string> names;
  const std::string& wanted = first == "help" ? second : first;
  for (const Verb& verb : tool.verbs) {
    names.push_back(verb.info.name);
    if (verb.info.name != wanted) continue;
    return first == "help" ? Say(VerbHelp(verb)) : RunParsed(tool, verb, argc, argv);
  }
  return fail("unknown verb '" + wanted + "'" + DidYouMean(wanted, names));
}

}  // namespace suffice::cli
