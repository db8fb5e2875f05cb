// SPDX-License-Identifier: Apache-2.0
#include "lib/generate/verbs.h"
#include "tools/cli/tool_main.h"

int main(int argc, char** argv) {
  return suffice::cli::ToolMain(
      {"generate", "run a model, bring data in, take results out", suffice::generate::Verbs()},
      argc, argv);
}
