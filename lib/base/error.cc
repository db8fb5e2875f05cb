// SPDX-License-Identifier: Apache-2.0
#include "lib/base/error.h"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace suffice {

Error ErrnoError(const std::string& path, const char* what) {
  const int saved = errno;
  return RunError("{}: {}: {}", path, what, std::strerror(saved));
}

std::string Printable(std::string_view message) {
  std::string text;
  for (const char c : message) {
    const auto byte = static_cast<unsigned char>(c);
    const bool control = (byte < 0x20 && c != '\n') || byte == 0x7F;
    text += control ? fmt::format("\\x{:02x}", byte) : std::string(1, c);
  }
  return text;
}

namespace internal {

void CheckFailure(const char* condition, const char* file, int line) {
  std::fprintf(stderr, "suffice: internal check failed: %s (%s:%d)\n", condition, file, line);
  std::abort();
}

}  // namespace internal

}  // namespace suffice
