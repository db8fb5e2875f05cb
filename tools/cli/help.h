// SPDX-License-Identifier: Apache-2.0
// Help texts and shell completion, from the verbs' tables.
#pragma once

#include <string>
#include <vector>

#include "lib/run/verb.h"

namespace suffice::cli {

struct ToolInfo {
  std::string name;
  std::string summary;
  std::vector<Verb> verbs;
};

// One way in which a verb can be told something: what help, completion and parsing share.
struct OptionLine {
  std::string names;  // "-o,--output"
  std::string value;  // "FILE" or ""
  std::string doc;
  std::string group;
};
std::vector<OptionLine> OptionLines(const Verb& verb);

std::string ToolHelp(const ToolInfo& tool);
std::string VerbHelp(const Verb& verb);
std::string VersionText(const ToolInfo& tool, bool verbose);
std::string BashCompletion(const ToolInfo& tool);

}  // namespace suffice::cli
