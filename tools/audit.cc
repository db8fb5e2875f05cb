// SPDX-License-Identifier: Apache-2.0
#include "lib/audit/verbs.h"
#include "tools/cli/tool_main.h"

int main(int argc, char** argv) {
  return suffice::cli::ToolMain(
      {"audit", "say who did what with which evidence, and prove it", suffice::audit::Verbs()},
      argc, argv);
}
