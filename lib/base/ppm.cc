// SPDX-License-Identifier: Apache-2.0
#include "lib/base/ppm.h"

#include <fmt/core.h>

namespace suffice {

std::optional<Ppm> ParsePpm(std::string_view text) {
  int64_t value = 0;
  int decimals = -1;  // digits seen after the point; -1 before it
  int digits = 0;
  for (const char c : text) {
    if (c == '.' && decimals < 0) {
      decimals = 0;
      continue;
    }
    if (c < '0' || c > '9' || decimals == 6 || digits == 12) return std::nullopt;
    value = 10 * value + (c - '0');
    ++digits;
    if (decimals >= 0) ++decimals;
  }
  if (digits == 0) return std::nullopt;
  for (int i = decimals < 0 ? 0 : decimals; i < 6; ++i) value *= 10;
  if (value > 1'000'000'000) return std::nullopt;
  return Ppm{static_cast<int32_t>(value)};
}

std::string ToString(Ppm x) {
  std::string text = fmt::format("{}.{:06d}", x.value / 1'000'000, x.value % 1'000'000);
  while (text.back() == '0') text.pop_back();
  if (text.back() == '.') text.pop_back();
  return text;
}

}  // namespace suffice
