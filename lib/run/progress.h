// SPDX-License-Identifier: Apache-2.0
// What a person or a script sees of work under way, on stderr: a plan before the work, then lines
// with content. A bar only on a terminal; --progress=jsonl gives one object a line with the same
// facts. After four seconds without a line a short one says what is going on.
#pragma once

#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "lib/run/verb.h"

namespace suffice {

using FactValue = std::variant<int64_t, double, std::string, bool>;
using Facts = std::vector<std::pair<std::string, FactValue>>;

class Progress {
 public:
  Progress(std::string name, const Options& options, std::FILE* stream);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // What is being done now: shown at once, and again when nothing else is for four seconds.
  void Activity(const std::string& text);
  void Plan(const std::vector<std::string>& lines, const Facts& facts);
  // A result: "step 120/2000, loss 0.3112". Lines of one kind are thinned to about one a second,
  // except the last of a known total.
  void Step(int64_t done, int64_t total, const std::string& text, const Facts& facts = {});
  void Line(const std::string& text, const Facts& facts = {});  // never thinned
  void Warning(const std::string& text);                        // also with --quiet
  void Verbose(const std::string& text);                        // with -v

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace suffice
