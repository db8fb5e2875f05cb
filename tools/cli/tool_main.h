// SPDX-License-Identifier: Apache-2.0
// What the five mains share: argv in, exit status out.
#pragma once

#include "tools/cli/help.h"

namespace suffice::cli {

int ToolMain(const ToolInfo& tool, int argc, char** argv);

}  // namespace suffice::cli
