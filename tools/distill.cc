// SPDX-License-Identifier: Apache-2.0
#include "lib/distill/verbs.h"
#include "tools/cli/tool_main.h"

int main(int argc, char** argv) {
  return suffice::cli::ToolMain(
      {"distill", "train models to live with sparse attention", suffice::distill::Verbs()}, argc,
      argv);
}
