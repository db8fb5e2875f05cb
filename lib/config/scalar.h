// SPDX-License-Identifier: Apache-2.0
// Scalars of the YAML subset: text to typed value and back, with the field's limits.
#pragma once

#include <optional>
#include <string>

#include "lib/base/error.h"
#include "lib/config/fields.h"

namespace suffice::internal {

// Each gives what was wanted ("an integer from 1 to 100") when `text` does not fit, else nothing.
// `quoted` scalars are strings whatever they look like.
std::optional<std::string> ParseInto(const Field& field, const std::string& text, bool quoted,
                                     bool* out);
std::optional<std::string> ParseInto(const Field& field, const std::string& text, bool quoted,
                                     int64_t* out);
std::optional<std::string> ParseInto(const Field& field, const std::string& text, bool quoted,
                                     double* out);
std::optional<std::string> ParseInto(const Field& field, const std::string& text, bool quoted,
                                     Ppm* out);
std::optional<std::string> ParseInto(const Field& field, const std::string& text, bool quoted,
                                     std::string* out);

std::string Format(bool value);
std::string Format(int64_t value);
std::string Format(double value);  // the shortest text that reads back the same
std::string Format(Ppm value);
std::string Format(const std::string& value);  // quoted where it must be

std::string AllowedText(const Field& field);  // "1 to 100", "euler, heun", ""

}  // namespace suffice::internal
