// SPDX-License-Identifier: Apache-2.0
// The pieces of the report page: text made safe, tables, a scatter plot as SVG, pictures as data.
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

struct PlotPoint {
  double x = 0, y = 0, y_low = 0, y_high = 0;
  std::string label;
  bool marked = false;  // on the frontier
};
// x against y with intervals; marked points are joined.
std::string ScatterPlot(const std::vector<PlotPoint>& points, const std::string& x_name,
                        const std::string& y_name);

// <img> with the file's bytes inside; empty if it cannot be read or is larger than 4 MiB.
std::string InlinePng(const std::string& path, const std::string& caption);

std::string Page(const std::string& title, const std::string& body);

}  // namespace suffice::audit
