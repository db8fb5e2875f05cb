// SPDX-License-Identifier: Apache-2.0
// The loss curves of a ledger's trainings, for the report.
#pragma once

#include <string>
#include <vector>

#include "lib/ledger/record.h"

namespace suffice::audit {

// For each training (distill pretrain, sparse, classify) that a record closes, its loss curve with
// the held-out loss of the record, drawn from a file that has the recorded digest; or why there is
// none. Empty without trainings.
std::string LossCurves(const std::string& folder, const std::vector<Record>& records);

}  // namespace suffice::audit
