// SPDX-License-Identifier: Apache-2.0
// Prints the keys of every config as lists in mdoc(7), each behind a line that names its command:
// what man/suffice-config.5 must hold, word for word.
#include <fmt/core.h>

#include <regex>
#include <string>

#include "lib/audit/verbs.h"
#include "lib/calibrate/verbs.h"
#include "lib/config/yaml.h"
#include "lib/distill/verbs.h"
#include "lib/generate/verbs.h"
#include "lib/policy/selection.h"
#include "lib/sparsify/verbs.h"

namespace suffice {
namespace {

// No text line of roff may begin with a control character, and a backslash begins an escape.
std::string Roff(const std::string& text) {
  std::string safe;
  for (const char c : text) safe += c == '\\' ? std::string("\\e") : std::string(1, c);
  return safe.starts_with('.') || safe.starts_with('\'') ? "\\&" + safe : safe;
}

void PrintKeys(const std::string& name, const Fields& fields) {
  const std::vector<FieldRow> rows = FieldTable(fields);
  if (rows.empty()) return;
  fmt::print(".\\\" keys of {}\n.Bl -tag -width Ds\n", name);
  for (const FieldRow& row : rows) {
    fmt::print(".It Va {}\n{}\n.Pq {}", row.name, Roff(row.doc), row.type);
    if (row.initial == "\"\"") {
      fmt::print(" ; No default empty");
    } else if (!row.initial.empty()) {
      fmt::print(" ; default Li \"{}\"",
                 std::regex_replace(row.initial, std::regex("\""), "\\(dq"));
    }
    if (!row.allowed.empty()) fmt::print(" ; No {}", row.allowed);
    if (!row.flag.empty()) fmt::print(" ; Fl -{}", row.flag);
    fmt::print("\n");
  }
  fmt::print(".El\n.\\\" end of keys\n");
}

}  // namespace
}  // namespace suffice

int main() {
  using suffice::Verb;
  for (const std::vector<Verb>& verbs :
       {suffice::generate::Verbs(), suffice::distill::Verbs(), suffice::sparsify::Verbs(),
        suffice::calibrate::Verbs(), suffice::audit::Verbs()}) {
    for (const Verb& verb : verbs) {
      const Verb::Instance instance = verb.make();
      suffice::PrintKeys(verb.info.tool + " " + verb.info.name, instance.fields);
    }
  }
  suffice::Selection selection;
  suffice::PrintKeys("selection", suffice::FieldsOf(selection));
  return 0;
}
