// SPDX-License-Identifier: Apache-2.0
#include "lib/sparsify/verbs.h"
#include "tools/cli/tool_main.h"

int main(int argc, char** argv) {
  return suffice::cli::ToolMain(
      {"sparsify", "turn attention sparse and say what it costs", suffice::sparsify::Verbs()}, argc,
      argv);
}
