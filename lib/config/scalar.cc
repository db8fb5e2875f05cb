// SPDX-License-Identifier: Apache-2.0
#include "lib/config/scalar.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <cmath>

namespace suffice::internal {
namespace {

bool HasRange(const Field& field) { return field.low <= field.high; }

std::optional<std::string> Wanted(const Field& field, const char* what) {
  if (!HasRange(field)) return what;
  return fmt::format("{} from {} to {}", what, Format(field.low), Format(field.high));
}

template <class T>
bool Outside(const Field& field, T value) {
  const auto x = static_cast<double>(value);
  return HasRange(field) && !(x >= field.low && x <= field.high);
}

// A plain decimal integer: no leading zeros, no octal, no underscores.
bool IsInteger(std::string_view text) {
  if (!text.empty() && text[0] == '-') text.remove_prefix(1);
  if (text.empty() || (text.size() > 1 && text[0] == '0')) return false;
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

}  // namespace

std::optional<std::string> ParseInto(const Field&, const std::string& text, bool quoted,
                                     bool* out) {
  if (quoted || (text != "true" && text != "false")) return "true or false";
  *out = text == "true";
  return std::nullopt;
}

std::optional<std::string> ParseInto(const Field& field, const std::string& text, bool quoted,
                                     int64_t* out) {
  int64_t value = 0;
  const char* end = text.data() + text.size();
  if (quoted || !IsInteger(text)) return Wanted(field, "an integer");
  const auto [stop, status] = std::from_chars(text.data(), end, value);
  if (status != std::errc() || stop != end || Outside(field, value))
    return Wanted(field, "an integer");
  *out = value;
  return std::nullopt;
}

std::optional<std::string> ParseInto(const Field& field, const std::string& text, bool quoted,
                                     double* out) {
  double value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, status] = std::from_chars(text.data(), end, value);
  const bool number =
      !text.empty() && text.find_first_not_of("0123456789+-.eE") == std::string::npos;
  if (quoted || !number || status != std::errc() || stop != end || !std::isfinite(value) ||
      Outside(field, value)) {
    return Wanted(field, "a number");
  }
  *out = value;
  return std::nullopt;
}

std::optional<std::string> ParseInto(const Field& field, const std::string& text, bool quoted,
                                     Ppm* out) {
  const auto value = ParsePpm(text);
  if (quoted || !value || Outside(field, value->fraction())) {
    return Wanted(field, "a decimal fraction of at most six places");
  }
  *out = *value;
  return std::nullopt;
}

std::optional<std::string> ParseInto(const Field& field, const std::string& text, bool,
                                     std::string* out) {
  if (!field.choices.empty() &&
      std::find(field.choices.begin(), field.choices.end(), text) == field.choices.end()) {
    return "one of " + AllowedText(field);
  }
  *out = text;
  return std::nullopt;
}

std::string Format(bool value) { return value ? "true" : "false"; }
std::string Format(int64_t value) { return fmt::format("{}", value); }
std::string Format(Ppm value) { return ToString(value); }

std::string Format(double value) {
  char buffer[32];
  const auto [end, status] = std::to_chars(buffer, buffer + sizeof(buffer), value);
  SUFFICE_CHECK(status == std::errc());
  return {buffer, end};
}

std::string Format(const std::string& value) {
  static constexpr std::string_view kSafe =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./+";
  const bool plain = !value.empty() && std::isalpha(static_cast<unsigned char>(value[0])) &&
                     value.find_first_not_of(std::string(kSafe) + "-") == std::string::npos &&
                     value != "true" && value != "false" && value != "null";
  if (plain) return value;
  std::string quoted = "\"";
  for (const char c : value) {
    if (c == '"' || c == '\\') quoted += '\\';
    if (c == '\n') {
      quoted += "\\n";
    } else if (static_cast<unsigned char>(c) < 0x20) {
      quoted += fmt::format("\\x{:02x}", static_cast<unsigned>(c));
    } else {
      quoted += c;
    }
  }
  return quoted + "\"";
}

std::string AllowedText(const Field& field) {
  if (!field.choices.empty()) {
    std::string text;
    for (const std::string& choice : field.choices) text += (text.empty() ? "" : ", ") + choice;
    return text;
  }
  if (!HasRange(field)) return "";
  return fmt::format("{} to {}", Format(field.low), Format(field.high));
}

}  // namespace suffice::internal
