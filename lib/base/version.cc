// SPDX-License-Identifier: Apache-2.0
#include "lib/base/version.h"

namespace suffice {

std::string_view Version() { return SUFFICE_VERSION; }
std::string_view VersionFull() { return SUFFICE_VERSION_FULL; }
std::string Producer() { return "suffice " + std::string(VersionFull()); }

}  // namespace suffice
