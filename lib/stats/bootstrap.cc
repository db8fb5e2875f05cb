// SPDX-License-Identifier: Apache-2.0
#include "lib/stats/bootstrap.h"

#include <algorithm>
#include <map>

#include "lib/base/error.h"
#include "lib/base/philox.h"

namespace suffice {

Resampler::Resampler(int64_t units, uint64_t seed, uint32_t set)
    : Resampler(std::vector<int64_t>(static_cast<size_t>(units)), seed, set) {}

Resampler::Resampler(const std::vector<int64_t>& strata, uint64_t seed, uint32_t set)
    : seed_(seed), stream_(static_cast<uint32_t>(Stream::kResample) + (set << 8)) {
  SUFFICE_CHECK(!strata.empty());
  std::map<int64_t, std::vector<size_t>> by_number;
  for (size_t i = 0; i < strata.size(); ++i) by_number[strata[i]].push_back(i);
  const bool single = std::any_of(by_number.begin(), by_number.end(),
                                  [](const auto& entry) { return entry.second.size() == 1; });
  if (single) {
    by_number.clear();
    for (size_t i = 0; i < strata.size(); ++i) by_number[0].push_back(i);
  }
  stratum_.resize(strata.size());
  for (auto& [number, members] : by_number) {
    for (const size_t unit : members) stratum_[unit] = members_.size();
    members_.push_back(std::move(members));
  }
}

std::vector<int64_t> Resampler::Counts(uint64_t draw) const {
  const uint64_t units = stratum_.size();
  std::vector<int64_t> counts(units);
  const uint64_t first = draw * ((units + 3) / 4);
  for (uint64_t i = 0; i < units; ++i) {
    const uint64_t bits = Philox(seed_, stream_, first + (i >> 2))[i & 3];
    const std::vector<size_t>& members = members_[stratum_[i]];
    ++counts[members[bits * members.size() >> 32]];
  }
  return counts;
}

Interval PercentileInterval(std::vector<double> replicates, double confidence) {
  return {Quantile(replicates, (1 - confidence) / 2), Quantile(replicates, (1 + confidence) / 2)};
}

Interval CentredInterval(double estimate, std::vector<double> replicates, double confidence) {
  const double mean = Mean(replicates);
  const Interval spread = PercentileInterval(std::move(replicates), confidence);
  return {std::max(0.0, estimate - (spread.high - mean)),
          std::max(0.0, estimate - (spread.low - mean))};
}

}  // namespace suffice
