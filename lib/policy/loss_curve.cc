// SPDX-License-Identifier: Apache-2.0
#include "lib/policy/loss_curve.h"

#include <fmt/format.h>

#include <charconv>
#include <sstream>

#include "lib/base/error.h"

namespace suffice {
namespace {

constexpr char kHeader[] = "step\tloss\tgradient_norm\tlr";

// Takes a number and the character after it, which ends the field, off the front of [*at, end).
template <class Number>
bool Take(const char** at, const char* end, char after, Number* number) {
  const auto [stop, status] = std::from_chars(*at, end, *number);
  if (status != std::errc() || (after == '\0' ? stop != end : stop == end || *stop != after))
    return false;
  *at = stop + (after == '\0' ? 0 : 1);
  return true;
}

}  // namespace

std::string CurveTsv(const std::vector<LossPoint>& curve) {
  std::string tsv = std::string(kHeader) + "\n";
  for (const LossPoint& p : curve) {
    tsv += fmt::format("{}\t{:.7g}\t{:.7g}\t{:.7g}\n", p.step, p.loss, p.gradient_norm, p.lr);
  }
  return tsv;
}

std::vector<LossPoint> ParseCurve(const std::string& tsv, const std::string& source) {
  std::istringstream lines(tsv);
  std::string line;
  if (!std::getline(lines, line) || line != kHeader)
    throw DataError("{}: not a loss curve: its first line is not its columns' names", source);
  std::vector<LossPoint> curve;
  while (std::getline(lines, line)) {
    LossPoint p;
    const char *at = line.data(), *end = at + line.size();
    if (!Take(&at, end, '\t', &p.step) || !Take(&at, end, '\t', &p.loss) ||
        !Take(&at, end, '\t', &p.gradient_norm) || !Take(&at, end, '\0', &p.lr) ||
        (!curve.empty() && p.step <= curve.back().step)) {
      throw DataError("{}:{}: no row of a loss curve", source, curve.size() + 2);
    }
    curve.push_back(p);
  }
  return curve;
}

}  // namespace suffice
