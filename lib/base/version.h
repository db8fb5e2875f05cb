// SPDX-License-Identifier: Apache-2.0
// The version, in the one translation unit that a new commit recompiles.
#pragma once

#include <string>
#include <string_view>

namespace suffice {

std::string_view Version();      // "0.1.0"
std::string_view VersionFull();  // "0.1.0+1a2b3c4" in a git checkout
std::string Producer();          // "suffice 0.1.0+1a2b3c4": what files say that made them

}  // namespace suffice
