// SPDX-License-Identifier: Apache-2.0
// Config structs to and from YAML, strictly. The file is a YAML 1.2 subset: maps, lists and
// scalars; no anchors, aliases, tags or merge keys; integers are plain decimals, booleans true or
// false, fractions (k, p) plain decimals of at most six places. `schema: 1` may be the first key.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "lib/base/error.h"
#include "lib/config/fields.h"

namespace suffice {

// Dotted path of a leaf -> where its value came from: "default", "clips.yaml:3", "--set",
// "--steps".
using Origins = std::map<std::string, std::string>;

// Reads a whole document into the fields. Every problem is reported, at once, as
// "FILE:LINE:COLUMN: unknown key 'stpes' (did you mean 'steps'?)", in one Error of `code`.
// A list of structs or values in the file replaces the default list.
void LoadYaml(const std::string& text, const std::string& name, const Fields& fields,
              Origins* origins = nullptr, ExitCode code = ExitCode::kUsage);
void LoadYamlFile(const std::string& path, const Fields& fields, Origins* origins = nullptr,
                  ExitCode code = ExitCode::kUsage);

// "a.b=c": c is a YAML scalar or flow list. `origin` names the option in messages.
void SetField(const Fields& fields, const std::string& assignment, const std::string& origin,
              Origins* origins = nullptr);

// The resolved document, every key in declaration order; with origins as trailing comments.
// LoadYaml(DumpYaml(x)) gives x again.
std::string DumpYaml(const Fields& fields, const Origins* origins = nullptr);

std::string JsonSchema(const Fields& fields, const std::string& title);

// One row per key: dotted name, type, default, range or choices, text.
struct FieldRow {
  std::string name, type, initial, allowed, doc, flag;
};
std::vector<FieldRow> FieldTable(const Fields& fields);

}  // namespace suffice
