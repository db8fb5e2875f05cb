// SPDX-License-Identifier: Apache-2.0
// Decimal fractions kept exactly, as integers in parts per million: the k and p of a selection.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace suffice {

struct Ppm {
  int32_t value = 0;
  auto operator<=>(const Ppm&) const = default;
  double fraction() const { return value * 1e-6; }
};

// "0.03", "1", ".5", "0.000001": at most six decimals and at most 1000; nothing else.
std::optional<Ppm> ParsePpm(std::string_view text);
std::string ToString(Ppm x);  // the shortest such text: "0.03"

}  // namespace suffice
