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

namespace internal {

void CheckFailure(const char* condition, const char* file, int line) {
  std::fprintf(stderr, "suffice: internal check failed: %s (%s:%d)\n", condition, file, line);
  std::abort();
}

}  // namespace internal
}  // namespace suffice
