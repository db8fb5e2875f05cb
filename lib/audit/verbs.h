// SPDX-License-Identifier: Apache-2.0
// The verbs of audit: who did what with which evidence, and whether the record holds.
#pragma once

#include <vector>

#include "lib/run/run_scope.h"
#include "lib/run/verb.h"

namespace suffice::audit {

Report Log(const NoConfig&, RunScope& scope);     // init | show | note
Report Key(const NoConfig&, RunScope& scope);     // new | show
Report Verify(const NoConfig&, RunScope& scope);  // kCheckFailed when the ledger contradicts itself
Report MakeReport(const NoConfig&, RunScope& scope);

std::vector<Verb> Verbs();

}  // namespace suffice::audit
