// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "lib/io/unique_fd.h"

namespace suffice {

// Decompresses a .gz file into an unlinked temporary file: nothing is left behind, whatever ends
// the process. kData for a missing or damaged file or more than 8 GiB; kFailed when $TMPDIR (or
// /tmp) has no room.
UniqueFd GunzipToTemporary(const std::string& path);

}  // namespace suffice
