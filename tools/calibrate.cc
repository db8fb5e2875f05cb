// SPDX-License-Identifier: Apache-2.0
#include "lib/calibrate/verbs.h"
#include "tools/cli/tool_main.h"

int main(int argc, char** argv) {
  return suffice::cli::ToolMain(
      {"calibrate", "turn measurements into decisions with a stated guarantee",
       suffice::calibrate::Verbs()},
      argc, argv);
}
