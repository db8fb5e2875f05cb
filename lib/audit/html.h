// SPDX-License-Identifier: Apache-2.0
// The pieces of the report page: text made safe, tables, pictures as data.
#pragma once

#include <string>
#include <vector>

namespace suffice::audit {

std::string Escape(const std::string& text);

// Cells are escaped; a row's class, if any, styles it.
struct TableRow {
  std::vector<std::string> cells;
  std::string style;
};
std::string Table(const std::vector<std::string>& head, const std::vector<TableRow>& rows,
                  const std::string& style = "");

// <img> with the file's bytes inside; empty if it cannot be read or is larger than 4 MiB.
std::string InlinePng(const std::string& path, const std::string& caption);

std::string Page(const std::string& title, const std::string& body);

}  // namespace suffice::audit
