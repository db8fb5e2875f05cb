// SPDX-License-Identifier: Apache-2.0
// One list of runs of the model operations, for every backend.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "tests/model_ops/rig.h"

namespace suffice::testing {

struct OpCase {
  std::string name;
  std::function<void(Rig&)> run;
};

const std::vector<OpCase>& OpCases();

}  // namespace suffice::testing
