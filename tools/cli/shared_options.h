// SPDX-License-Identifier: Apache-2.0
// The one table of options that verbs share, so that a name means the same everywhere. Parsing,
// help, completion and the comparison with the manual pages all read this table.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "lib/run/verb.h"

namespace suffice::cli {

struct SharedOption {
  std::string names;  // "-c,--config", as CLI11 takes them
  std::string value;  // "FILE"; empty: a flag
  std::string doc;
  std::string group;
  std::function<bool(const VerbInfo&)> applies;
  // Stores one value; throws kUsage with what was wanted.
  std::function<void(Options&, const std::string&)> store;
  bool many = false;
};

const std::vector<SharedOption>& SharedOptions();

// The long name with dashes: "--config".
std::string LongName(const std::string& names);
bool HasShort(const std::string& names);

}  // namespace suffice::cli
