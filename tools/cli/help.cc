// SPDX-License-Identifier: Apache-2.0
#include "tools/cli/help.h"

#include <fmt/core.h>

#include <algorithm>

#include "kernels/backend.h"
#include "lib/base/version.h"
#include "lib/config/yaml.h"
#include "tools/cli/shared_options.h"

namespace suffice::cli {
namespace {

constexpr size_t kColumn = 28;

std::string ValueName(const Argument& argument) {
  switch (argument.kind) {
    case ArgumentKind::kFolder:
      return "DIR";
    case ArgumentKind::kText:
      return "VALUE";
    case ArgumentKind::kSwitch:
      return "";
    default:
      return "FILE";
  }
}

std::string Upper(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return text;
}

std::string Entry(const std::string& left, const std::string& doc) {
  std::string line = "  " + left;
  if (line.size() + 1 > kColumn) {
    line += "\n" + std::string(kColumn, ' ');
  } else {
    line.resize(kColumn, ' ');
  }
  return line + doc + "\n";
}

std::string OptionText(const OptionLine& option) {
  const std::string names = HasShort(option.names)
                                ? option.names.substr(0, 2) + ", " + LongName(option.names)
                                : option.names;
  return option.value.empty() ? names : names + " " + option.value;
}

std::string ExampleText(const std::vector<Example>& examples) {
  std::string text;
  for (const Example& example : examples) {
    text += fmt::format("  # {}\n  {}\n", example.doc, example.command);
  }
  return text;
}

std::string Usage(const Verb& verb) {
  std::string usage = fmt::format("{} {}", verb.info.tool, verb.info.name);
  for (const Argument& argument : verb.info.arguments) {
    std::string part = argument.option.empty()
                           ? Upper(argument.role) + (argument.many ? "..." : "")
                           : argument.option.substr(0, argument.option.find(','));
    if (!argument.option.empty() && !ValueName(argument).empty()) part += " " + ValueName(argument);
    usage += argument.required ? " " + part : " [" + part + "]";
  }
  return usage + " [OPTIONS]";
}

}  // namespace

std::vector<OptionLine> OptionLines(const Verb& verb) {
  std::vector<OptionLine> lines;
  for (const Argument& argument : verb.info.arguments) {
    if (argument.option.empty()) continue;
    lines.push_back({argument.option, ValueName(argument), argument.doc, "Files"});
  }
  if (verb.info.has_config) {
    for (const FieldRow& row : FieldTable(verb.make().fields)) {
      if (row.flag.empty()) continue;
      const std::string limits = row.allowed.empty() ? "" : "; " + row.allowed;
      lines.push_back({"--" + row.flag, row.type == "boolean" ? "" : "VALUE",
                       fmt::format("{} ({}{})", row.doc, row.initial, limits), "Settings"});
    }
  }
  for (const SharedOption& option : SharedOptions()) {
    if (option.applies(verb.info))
      lines.push_back({option.names, option.value, option.doc, option.group});
  }
  lines.push_back({"-h,--help", "", "this help", "Output"});
  return lines;
}

std::string ToolHelp(const ToolInfo& tool) {
  std::string text = fmt::format("{}: {}\n\nExamples:\n", tool.name, tool.summary);
  for (const Verb& verb : tool.verbs) {
    if (!verb.info.examples.empty()) text += ExampleText({verb.info.examples.front()});
  }
  text += "\nVerbs:\n";
  for (const Verb& verb : tool.verbs) text += Entry(verb.info.name, verb.info.summary);
  text += "\nOptions:\n";
  text += Entry("-h, --help", "this help; VERB --help for one verb");
  text += Entry("-V, --version", "the version; with -v also backends, instruction sets, libraries");
  text += Entry("--completion SHELL", "print a completion script (bash)");
  text += fmt::format("\nThe manual: {}(1), suffice(7), suffice-tensor(5), suffice-config(5).\n",
                      tool.name);
  return text;
}

std::string VerbHelp(const Verb& verb) {
  std::string text = fmt::format("{} {}: {}\n", verb.info.tool, verb.info.name, verb.info.summary);
  if (!verb.info.examples.empty()) text += "\nExamples:\n" + ExampleText(verb.info.examples);
  text += "\nUsage:\n  " + Usage(verb) + "\n";
  if (!verb.info.description.empty()) text += "\n" + verb.info.description + "\n";
  bool any = false;
  for (const Argument& argument : verb.info.arguments) {
    if (!argument.option.empty()) continue;
    text += any ? "" : "\nArguments:\n";
    any = true;
    text += Entry(Upper(argument.role) + (argument.many ? "..." : ""), argument.doc);
  }
  std::vector<OptionLine> lines = OptionLines(verb);
  for (const char* group :
       {"Files", "Settings", "Configuration", "Computation", "Limits", "Output", "Ledger"}) {
    std::string section;
    for (const OptionLine& line : lines) {
      if (line.group == group) section += Entry(OptionText(line), line.doc);
    }
    if (!section.empty()) text += fmt::format("\n{}:\n", group) + section;
  }
  return text;
}

std::string BashCompletion(const ToolInfo& tool) {
  std::string verbs;
  std::string cases;
  for (const Verb& verb : tool.verbs) {
    verbs += (verbs.empty() ? "" : " ") + verb.info.name;
    std::string words;
    for (const OptionLine& line : OptionLines(verb)) {
      if (HasShort(line.names)) words += line.names.substr(0, 2) + " ";
      words += LongName(line.names) + " ";
    }
    words.pop_back();
    cases += fmt::format("    {}) words=\"{}\" ;;\n", verb.info.name, words);
  }
  return fmt::format(
      "# bash completion for {0}, made by `{0} --completion bash`\n"
      "_{0}() {{\n"
      "  local current=${{COMP_WORDS[COMP_CWORD]}} verb=${{COMP_WORDS[1]}} words=\"\"\n"
      "  if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
      "    mapfile -t COMPREPLY < <(compgen -W \"{1} --help --version --completion\" -- "
      "\"$current\")\n"
      "    return\n"
      "  fi\n"
      "  case $verb in\n{2}  esac\n"
      "  case $current in\n"
      "    -*) mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$current\") ;;\n"
      "    *) mapfile -t COMPREPLY < <(compgen -f -- \"$current\") ;;\n"
      "  esac\n"
      "}}\n"
      "complete -o filenames -F _{0} {0}\n",
      tool.name, verbs, cases);
}

}  // namespace suffice::cli
