// SPDX-License-Identifier: Apache-2.0
// Plots of the report page, as inline SVG: points with intervals, and lines.
#pragma once

#include <string>
#include <vector>

namespace suffice::audit {

struct PlotPoint {
  double x = 0, y = 0, y_low = 0, y_high = 0;
  std::string label;
  bool marked = false;  // on the frontier
};
// x against y with intervals, both axes from 0; marked points are joined.
std::string ScatterPlot(const std::vector<PlotPoint>& points, const std::string& x_name,
                        const std::string& y_name);

// A value of y with its interval, drawn across the plot.
struct PlotLevel {
  double y = 0, low = 0, high = 0;
  std::string label;
};
// A line through (x[i], y[i]), x ascending from 0 on, and its mean over the last `window` points
// where that is more than one. The y axis is logarithmic when every y is positive and the largest
// at least ten times the least, and from 0 otherwise. At least one point.
std::string LinePlot(const std::vector<double>& x, const std::vector<double>& y, size_t window,
                     const std::vector<PlotLevel>& levels, const std::string& x_name,
                     const std::string& y_name);

}  // namespace suffice::audit
