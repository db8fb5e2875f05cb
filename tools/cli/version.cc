// SPDX-License-Identifier: Apache-2.0
#include "lib/base/version.h"

#include <fmt/core.h>

#include "kernels/backend.h"
#include "lib/run/libraries.h"
#include "tools/cli/help.h"

namespace suffice::cli {

std::string VersionText(const ToolInfo& tool, bool verbose) {
  std::string text = fmt::format("{} (suffice) {}\n", tool.name, VersionFull());
  if (!verbose) return text;
  for (const Backend* backend : Backends()) {
    const auto reason = backend->unavailable(0);
    text += fmt::format("backend {}: {}\n", backend->name, reason ? *reason : "usable");
  }
  text += fmt::format("instruction sets: best here {}\n", NameOf(BestCpuIsa()));
  for (const std::string& line : LibraryVersions()) text += line + "\n";
  return text;
}

}  // namespace suffice::cli
