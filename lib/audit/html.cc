// SPDX-License-Identifier: Apache-2.0
#include "lib/audit/html.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <iterator>

#include "lib/ledger/key.h"

namespace suffice::audit {
namespace {

constexpr size_t kMaxPicture = 4 << 20;

constexpr char kStyle[] = R"(
:root{color-scheme:light dark;--fg:#1b1f24;--bg:#fff;--dim:#667;--line:#d8dce2;--ok:#17713a;--bad:#b3261e;--mark:#2457a6}
@media(prefers-color-scheme:dark){:root{--fg:#e6e8eb;--bg:#15181c;--dim:#98a0aa;--line:#343a42;--ok:#5ad08a;--bad:#ff8a80;--mark:#7fb0ff}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--fg);background:var(--bg);max-width:62rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2rem;border-bottom:1px solid var(--line)}
table{border-collapse:collapse;width:100%;font-size:.86rem}td,th{text-align:left;padding:.25rem .5rem;border-bottom:1px solid var(--line);vertical-align:top;overflow-wrap:anywhere}
th{color:var(--dim);font-weight:600;white-space:nowrap}.runs td:nth-child(-n+2),.runs td:nth-child(4){white-space:nowrap}.bad td{color:var(--bad)}.open td{color:var(--dim)}
.verdict{font-size:1.1rem;font-weight:700}.ok{color:var(--ok)}.no{color:var(--bad)}code{font-size:.85em}
figure{margin:1rem 0}img{max-width:100%;image-rendering:pixelated;border:1px solid var(--line)}figcaption{color:var(--dim);font-size:.86rem}
svg text{fill:var(--fg);font-size:12px}svg .axis{stroke:var(--dim)}svg .point{fill:var(--dim)}svg .marked{fill:var(--mark)}svg .bar{stroke:var(--dim)}svg .front{stroke:var(--mark);fill:none}
)";

// From 0 in at most six steps of 1, 2 or 5 times a power of ten, to the first that covers
// `largest`.
struct Axis {
  double step = 1;
  int steps = 1;
  explicit Axis(double largest) {
    if (!(largest > 0) || !std::isfinite(largest)) return;
    const double power = std::pow(10.0, std::floor(std::log10(largest)) - 1);
    for (const double round : {1.0, 2.0, 5.0, 10.0, 20.0}) {
      step = round * power;
      steps = static_cast<int>(std::ceil(largest / step - 1e-9));
      if (steps <= 6) return;
    }
  }
  double end() const { return step * steps; }
};

}  // namespace

std::string Escape(const std::string& text) {
  std::string safe;
  for (const char c : text) {
    switch (c) {
      case '&':
        safe += "&amp;";
        break;
      case '<':
        safe += "&lt;";
        break;
      case '>':
        safe += "&gt;";
        break;
      case '"':
        safe += "&quot;";
        break;
      case '\'':
        safe += "&#39;";
        break;
      default:
        // Control characters have no place in a page; what is not UTF-8 is the reader's to replace.
        safe += static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\t' ? '?' : c;
    }
  }
  return safe;
}

std::string Table(const std::vector<std::string>& head, const std::vector<TableRow>& rows,
                  const std::string& style) {
  std::string html = style.empty() ? "<table>" : "<table class=\"" + style + "\">";
  html += "<thead><tr>";
  for (const std::string& cell : head) html += "<th>" + Escape(cell) + "</th>";
  html += "</tr></thead><tbody>\n";
  for (const TableRow& row : rows) {
    html += row.style.empty() ? "<tr>" : "<tr class=\"" + row.style + "\">";
    for (const std::string& cell : row.cells) html += "<td>" + Escape(cell) + "</td>";
    html += "</tr>\n";
  }
  return html + "</tbody></table>\n";
}

std::string ScatterPlot(const std::vector<PlotPoint>& points, const std::string& x_name,
                        const std::string& y_name) {
  constexpr double kWidth = 640, kHeight = 340, kLeft = 70, kRight = 150, kTop = 15, kBottom = 45;
  double x_max = 0, y_max = 0;
  for (const PlotPoint& p : points) {
    x_max = std::max(x_max, p.x);
    y_max = std::max(y_max, p.y_high);
  }
  const Axis x_axis(x_max), y_axis(y_max);
  x_max = x_axis.end();
  y_max = y_axis.end();
  const auto X = [&](double x) { return kLeft + x / x_max * (kWidth - kLeft - kRight); };
  const auto Y = [&](double y) {
    return kHeight - kBottom - y / y_max * (kHeight - kTop - kBottom);
  };
  std::string svg = fmt::format(
      "<svg viewBox=\"0 0 {0:.0f} {1:.0f}\" role=\"img\" aria-label=\"{2} against {3}\">\n"
      "<line class=\"axis\" x1=\"{4}\" y1=\"{5}\" x2=\"{6}\" y2=\"{5}\"/>"
      "<line class=\"axis\" x1=\"{4}\" y1=\"{7}\" x2=\"{4}\" y2=\"{5}\"/>\n",
      kWidth, kHeight, Escape(y_name), Escape(x_name), kLeft, kHeight - kBottom, kWidth - kRight,
      kTop);
  for (int tick = 0; tick <= x_axis.steps; ++tick) {
    const double x = tick * x_axis.step;
    svg += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">{:.3g}</text>", X(x),
                       kHeight - kBottom + 16, x);
  }
  for (int tick = 0; tick <= y_axis.steps; ++tick) {
    const double y = tick * y_axis.step;
    svg += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"end\">{:.3g}</text>\n",
                       kLeft - 6, Y(y) + 4, y);
  }
  svg += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">{}</text>\n",
                     (kLeft + kWidth - kRight) / 2, kHeight - 8, Escape(x_name));
  svg += fmt::format(
      "<text transform=\"translate(14 {:.1f}) rotate(-90)\" text-anchor=\"middle\">{}</text>\n",
      (kTop + kHeight - kBottom) / 2, Escape(y_name));
  std::vector<PlotPoint> sorted = points;
  std::sort(sorted.begin(), sorted.end(),
            [](const PlotPoint& a, const PlotPoint& b) { return a.x < b.x; });
  std::string front;
  for (const PlotPoint& p : sorted) {
    if (p.marked)
      front += fmt::format("{}{:.1f} {:.1f}", front.empty() ? "M" : "L", X(p.x), Y(p.y));
    svg += fmt::format(
        "<line class=\"bar\" x1=\"{0:.1f}\" y1=\"{1:.1f}\" x2=\"{0:.1f}\" y2=\"{2:.1f}\"/>", X(p.x),
        Y(p.y_low), Y(p.y_high));
    svg += fmt::format("<circle class=\"{}\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"4\"/>",
                       p.marked ? "marked" : "point", X(p.x), Y(p.y));
    svg += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\">{}</text>\n", X(p.x) + 8, Y(p.y) - 6,
                       Escape(p.label));
  }
  if (!front.empty()) svg += fmt::format("<path class=\"front\" d=\"{}\"/>\n", front);
  return "<figure>" + svg + "</svg></figure>\n";
}

std::string InlinePng(const std::string& path, const std::string& caption) {
  std::ifstream file(path, std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  if (bytes.size() < 8 || bytes.size() > kMaxPicture || bytes.compare(1, 3, "PNG") != 0) return "";
  return fmt::format(
      "<figure><img alt=\"{0}\" "
      "src=\"data:image/png;base64,{1}\"><figcaption>{0}</figcaption></figure>\n",
      Escape(caption), Base64(bytes));
}

std::string Page(const std::string& title, const std::string& body) {
  return fmt::format(
      "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n"
      "<link rel=\"icon\" href=\"data:,\">\n<title>{0}</title>\n<style>{1}</style></head>\n"
      "<body>\n<h1>{0}</h1>\n{2}</body></html>\n",
      Escape(title), kStyle, body);
}

}  // namespace suffice::audit
