// SPDX-License-Identifier: Apache-2.0
// Runs one invocation from resolved options to exit status: what an executable does after parsing,
// and what tests and examples call.
#pragma once

#include <cstdio>

#include "lib/run/verb.h"

namespace suffice {

// Never throws. Errors go to `err` as "TOOL VERB: message"; the product to `out`, which is flushed
// and checked. Returns the exit status; a run stopped by a signal after its checkpoint returns 75.
int RunVerb(const Invocation& invocation, std::FILE* out = stdout, std::FILE* err = stderr);

}  // namespace suffice
