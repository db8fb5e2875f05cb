// SPDX-License-Identifier: Apache-2.0
#include "lib/audit/plot.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "lib/audit/html.h"

namespace suffice::audit {
namespace {

constexpr double kWidth = 640, kHeight = 340, kLeft = 70, kRight = 150, kTop = 15, kBottom = 45;
constexpr size_t kMaxTicks = 7;
constexpr size_t kMaxPoints = 1000;  // of a line, two for each pixel of its width

struct Axis {
  double low = 0, high = 1;
  bool logarithmic = false;
  std::vector<double> ticks;

  double Fraction(double value) const {
    return logarithmic ? std::log(value / low) / std::log(high / low)
                       : (value - low) / (high - low);
  }
};

// From 0 in at most six steps of 1, 2 or 5 times a power of ten, to the first that covers
// `largest`.
Axis FromZero(double largest) {
  double step = 1;
  int steps = 1;
  if (largest > 0 && std::isfinite(largest)) {
    const double power = std::pow(10.0, std::floor(std::log10(largest)) - 1);
    for (const double round : {1.0, 2.0, 5.0, 10.0, 20.0}) {
      step = round * power;
      steps = static_cast<int>(std::ceil(largest / step - 1e-9));
      if (steps <= 6) break;
    }
  }
  Axis axis{0, step * steps, false, {}};
  for (int tick = 0; tick <= steps; ++tick) axis.ticks.push_back(tick * step);
  return axis;
}

// From the last 1, 2 or 5 times a power of ten that is not above `least` to the first that is not
// below `largest`; with more than kMaxTicks of them, ticks at every power of ten, or at every
// second one and so on.
Axis Logarithmic(double least, double largest) {
  const auto value = [](int place) {  // ..., 0.5, 1, 2, 5, 10, ...; place 0 is 1
    const int decade = place >= 0 ? place / 3 : -((2 - place) / 3);
    return std::array{1.0, 2.0, 5.0}[static_cast<size_t>(place - 3 * decade)] *
           std::pow(10.0, decade);
  };
  int first = 3 * static_cast<int>(std::floor(std::log10(least))) - 1;
  while (value(first + 1) <= least * (1 + 1e-9)) ++first;
  int last = first + 1;
  while (value(last) < largest * (1 - 1e-9)) ++last;
  Axis axis{value(first), value(last), true, {}};
  for (int every = 1; axis.ticks.empty() || axis.ticks.size() > kMaxTicks;
       every = every == 1 ? 3 : every + 3) {
    axis.ticks.clear();
    for (int place = first; place <= last; ++place) {
      if (place % every == 0) axis.ticks.push_back(value(place));
    }
  }
  return axis;
}

// A plot's frame, and where a value lies in it.
class Plot {
 public:
  Plot(Axis x, Axis y, const std::string& x_name, const std::string& y_name)
      : x_(std::move(x)), y_(std::move(y)) {
    svg_ = fmt::format(
        "<svg viewBox=\"0 0 {0:.0f} {1:.0f}\" role=\"img\" aria-label=\"{2} against {3}\">\n"
        "<line class=\"axis\" x1=\"{4}\" y1=\"{5}\" x2=\"{6}\" y2=\"{5}\"/>"
        "<line class=\"axis\" x1=\"{4}\" y1=\"{7}\" x2=\"{4}\" y2=\"{5}\"/>\n",
        kWidth, kHeight, Escape(y_name), Escape(x_name), kLeft, kHeight - kBottom, kWidth - kRight,
        kTop);
    for (const double tick : x_.ticks)
      Text(X(tick), kHeight - kBottom + 16, fmt::format("{:.5g}", tick), "middle");
    for (const double tick : y_.ticks)
      Text(kLeft - 6, Y(tick) + 4, fmt::format("{:.3g}", tick), "end");
    Text((kLeft + kWidth - kRight) / 2, kHeight - 8, x_name, "middle");
    svg_ += fmt::format(
        "<text transform=\"translate(14 {:.1f}) rotate(-90)\" text-anchor=\"middle\">{}</text>\n",
        (kTop + kHeight - kBottom) / 2, Escape(y_name));
  }

  double X(double x) const { return kLeft + x_.Fraction(x) * (kWidth - kLeft - kRight); }
  double Y(double y) const {
    return kHeight - kBottom - y_.Fraction(y) * (kHeight - kTop - kBottom);
  }
  double Floor() const { return y_.low; }

  template <class... Args>
  void Add(fmt::format_string<Args...> format, Args&&... args) {
    svg_ += fmt::format(format, std::forward<Args>(args)...);
  }
  void Text(double x, double y, const std::string& text, const char* anchor = "start") {
    Add("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\">{}</text>\n", x, y, anchor,
        Escape(text));
  }
  void Path(const char* style, const std::vector<std::pair<double, double>>& points) {
    std::string d;
    for (const auto& [x, y] : points)
      d += fmt::format("{}{:.1f} {:.1f}", d.empty() ? "M" : "L", X(x), Y(y));
    if (!d.empty()) Add("<path class=\"{}\" d=\"{}\"/>\n", style, d);
  }

  std::string Figure() && { return "<figure>" + std::move(svg_) + "</svg></figure>\n"; }

 private:
  Axis x_, y_;
  std::string svg_;
};

// The line with at most about kMaxPoints points: of each stretch the least and the largest.
std::vector<std::pair<double, double>> Thinned(const std::vector<double>& x,
                                               const std::vector<double>& y) {
  std::vector<std::pair<double, double>> points;
  const size_t stretch = x.size() <= kMaxPoints ? 1 : (2 * x.size() + kMaxPoints - 1) / kMaxPoints;
  for (size_t begin = 0; begin < x.size(); begin += stretch) {
    const auto first = y.begin() + static_cast<std::ptrdiff_t>(begin);
    const auto last = y.begin() + static_cast<std::ptrdiff_t>(std::min(begin + stretch, x.size()));
    auto [least, largest] = std::minmax_element(first, last);
    if (largest < least) std::swap(least, largest);
    points.emplace_back(x[static_cast<size_t>(least - y.begin())], *least);
    if (largest != least)
      points.emplace_back(x[static_cast<size_t>(largest - y.begin())], *largest);
  }
  return points;
}

std::vector<double> TrailingMean(const std::vector<double>& y, size_t window) {
  std::vector<double> means;
  for (size_t i = 0; i < y.size(); ++i) {
    const size_t count = std::min(i + 1, window);
    double sum = 0;
    for (size_t j = i + 1 - count; j <= i; ++j) sum += y[j];
    means.push_back(sum / static_cast<double>(count));
  }
  return means;
}

}  // namespace

std::string ScatterPlot(const std::vector<PlotPoint>& points, const std::string& x_name,
                        const std::string& y_name) {
  double x_max = 0, y_max = 0;
  for (const PlotPoint& p : points) {
    x_max = std::max(x_max, p.x);
    y_max = std::max(y_max, p.y_high);
  }
  Plot plot(FromZero(x_max), FromZero(y_max), x_name, y_name);
  std::vector<PlotPoint> sorted = points;
  std::sort(sorted.begin(), sorted.end(),
            [](const PlotPoint& a, const PlotPoint& b) { return a.x < b.x; });
  std::vector<std::pair<double, double>> front;
  for (const PlotPoint& p : sorted) {
    if (p.marked) front.emplace_back(p.x, p.y);
    plot.Add("<line class=\"bar\" x1=\"{0:.1f}\" y1=\"{1:.1f}\" x2=\"{0:.1f}\" y2=\"{2:.1f}\"/>",
             plot.X(p.x), plot.Y(p.y_low), plot.Y(p.y_high));
    plot.Add("<circle class=\"{}\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"4\"/>",
             p.marked ? "marked" : "point", plot.X(p.x), plot.Y(p.y));
    plot.Text(plot.X(p.x) + 8, plot.Y(p.y) - 6, p.label);
  }
  plot.Path("front", front);
  return std::move(plot).Figure();
}

std::string LinePlot(const std::vector<double>& x, const std::vector<double>& y, size_t window,
                     const std::vector<PlotLevel>& levels, const std::string& x_name,
                     const std::string& y_name) {
  auto [least, largest] = std::minmax_element(y.begin(), y.end());
  double low = *least, high = *largest;
  for (const PlotLevel& level : levels) {
    low = std::min(low, level.y);
    high = std::max({high, level.y, level.high});
  }
  Plot plot(FromZero(x.back()),
            low > 0 && high >= 10 * low ? Logarithmic(low, high) : FromZero(high), x_name, y_name);
  for (const PlotLevel& level : levels) {
    // An interval may reach below what the axis shows.
    const double top = plot.Y(level.high), bottom = plot.Y(std::max(level.low, plot.Floor()));
    plot.Add("<rect class=\"band\" x=\"{}\" y=\"{:.1f}\" width=\"{}\" height=\"{:.1f}\"/>", kLeft,
             top, kWidth - kLeft - kRight, bottom - top);
    plot.Add("<line class=\"level\" x1=\"{}\" y1=\"{:.1f}\" x2=\"{}\" y2=\"{:.1f}\"/>", kLeft,
             plot.Y(level.y), kWidth - kRight, plot.Y(level.y));
    plot.Text(kWidth - kRight + 6, plot.Y(level.y) + 4, level.label);
  }
  plot.Path("line", Thinned(x, y));
  if (window > 1) plot.Path("front", Thinned(x, TrailingMean(y, window)));
  return std::move(plot).Figure();
}

}  // namespace suffice::audit
