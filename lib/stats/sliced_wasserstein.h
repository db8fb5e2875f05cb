// SPDX-License-Identifier: Apache-2.0
// The sliced Wasserstein distance between two sets of points (Rabin et al., "Wasserstein barycenter
// and its application to texture mixing", SSVM 2011; Bonneel et al., JMIV 51, 2015):
//
//   SW_p = (mean over directions w on the unit sphere of W_p^p(w . A, w . B))^(1/p)
//
// where W_p of numbers matches their quantiles: exact for sets of any two sizes. The mean is over a
// stated number of directions, drawn from (seed, Stream::kProjection) and the same for every pair
// of sets with this seed.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace suffice {

// Points (units, points of a unit, dim): a unit, such as a clip, is what is resampled.
struct PointSet {
  std::span<const double> values;
  int64_t units = 0;
};

class SlicedWasserstein {
 public:
  // Projects and sorts once; neither set is empty. Memory: 16 bytes a point and direction.
  SlicedWasserstein(const PointSet& a, const PointSet& b, int64_t dim, int64_t directions,
                    uint64_t seed);

  struct Distances {
    double one = 0, two = 0;  // SW_1, SW_2
  };
  // With each unit of A and B taken as often as its count says; once each where empty.
  Distances Measure(std::span<const int64_t> counts_a = {},
                    std::span<const int64_t> counts_b = {}) const;

 private:
  struct Point {
    double value;
    int64_t unit;
  };
  struct Side {
    int64_t units = 0;
    std::vector<std::vector<Point>> sorted;  // by direction
  };
  static Side Project(const PointSet& set, int64_t dim, const std::vector<double>& directions);

  Side a_, b_;
};

}  // namespace suffice
