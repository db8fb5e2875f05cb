// SPDX-License-Identifier: Apache-2.0
#include "lib/audit/html.h"

#include <fmt/core.h>

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
h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2rem;border-bottom:1px solid var(--line)}h3{font-size:1rem;margin-bottom:.25rem}
table{border-collapse:collapse;width:100%;font-size:.86rem}td,th{text-align:left;padding:.25rem .5rem;border-bottom:1px solid var(--line);vertical-align:top;overflow-wrap:anywhere}
th{color:var(--dim);font-weight:600;white-space:nowrap}.runs td:nth-child(-n+2),.runs td:nth-child(4){white-space:nowrap}.bad td{color:var(--bad)}.open td{color:var(--dim)}
.verdict{font-size:1.1rem;font-weight:700}.ok{color:var(--ok)}.no{color:var(--bad)}code{font-size:.85em}
figure{margin:1rem 0}img{max-width:100%;image-rendering:pixelated;border:1px solid var(--line)}figcaption{color:var(--dim);font-size:.86rem}
svg text{fill:var(--fg);font-size:12px}svg .axis{stroke:var(--dim)}svg .point{fill:var(--dim)}svg .marked{fill:var(--mark)}svg .bar{stroke:var(--dim)}svg .front{stroke:var(--mark);fill:none}svg .line{stroke:var(--dim);fill:none}
svg .level{stroke:var(--mark);stroke-dasharray:5 4}svg .band{fill:var(--mark);opacity:.12}.absent{color:var(--dim)}
)";

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
