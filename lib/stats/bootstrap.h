// SPDX-License-Identifier: Apache-2.0
// Resampling of units with replacement (Efron, "Bootstrap methods: another look at the jackknife",
// Annals of Statistics 7, 1979), and intervals from what a statistic does under it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "lib/stats/inference.h"

namespace suffice {

// How often each unit occurs in resample `draw`: counts that sum to the number of units. A unit is
// replaced by one of its own stratum, as the units were drawn (Davison and Hinkley, "Bootstrap
// methods and their application", 1997, section 3.2): so many of each class, say. Sets that are
// resampled independently of each other have different numbers `set`.
class Resampler {
 public:
  Resampler(int64_t units, uint64_t seed, uint32_t set);  // one stratum
  // By number, any numbers. One stratum after all if one of them has a single unit, which could
  // never change.
  Resampler(const std::vector<int64_t>& strata, uint64_t seed, uint32_t set);

  std::vector<int64_t> Counts(uint64_t draw) const;

 private:
  uint64_t seed_;
  uint32_t stream_;
  std::vector<std::vector<size_t>> members_;  // of each stratum
  std::vector<size_t> stratum_;               // of each unit, an index into members_
};

// Between the quantiles of the replicates: for a statistic without bias worth the name, such as a
// mean or a ratio of means.
Interval PercentileInterval(std::vector<double> replicates, double confidence = 0.95);

// Of the expectation of a plug-in distance at this number of units. Such a distance is biased
// upward, and its replicates once more, so that their quantiles may lie wholly above the estimate.
// The basic bootstrap (Davison and Hinkley, section 5.2) with replicates centred at their own mean
// m: [e - (q_high - m), e - (q_low - m)], cut off at 0. Says nothing of the distance at another n.
Interval CentredInterval(double estimate, std::vector<double> replicates, double confidence = 0.95);

}  // namespace suffice
