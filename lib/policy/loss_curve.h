// SPDX-License-Identifier: Apache-2.0
// The loss curve of a training: what distill --curve writes and audit report draws.
//
// TSV with the header "step loss gradient_norm lr" and one row a step, steps ascending.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace suffice {

struct LossPoint {
  int64_t step = 0;
  double loss = 0, gradient_norm = 0, lr = 0;
};

std::string CurveTsv(const std::vector<LossPoint>& curve);
// Throws kData, naming `source` and the line, for anything that CurveTsv does not write.
std::vector<LossPoint> ParseCurve(const std::string& tsv, const std::string& source);

}  // namespace suffice
