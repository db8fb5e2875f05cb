// SPDX-License-Identifier: Apache-2.0
#include "lib/stats/sliced_wasserstein.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "lib/base/error.h"
#include "lib/base/philox.h"

namespace suffice {
namespace {

// Unit vectors (directions, dim): normal deviates have no direction that they prefer.
std::vector<double> DrawDirections(int64_t count, int64_t dim, uint64_t seed) {
  const auto width = static_cast<size_t>(dim);
  std::vector<double> directions(static_cast<size_t>(count) * width);
  for (size_t i = 0; i < directions.size(); ++i) {
    directions[i] = NormalAt(seed, static_cast<uint32_t>(Stream::kProjection), i);
  }
  for (size_t first = 0; first < directions.size(); first += width) {
    double square = 0;
    for (size_t k = 0; k < width; ++k) square += directions[first + k] * directions[first + k];
    for (size_t k = 0; k < width; ++k) directions[first + k] /= std::sqrt(square);
  }
  return directions;
}

int64_t Total(std::span<const int64_t> counts, int64_t units) {
  if (counts.empty()) return units;
  SUFFICE_CHECK(static_cast<int64_t>(counts.size()) == units);
  return std::accumulate(counts.begin(), counts.end(), int64_t{0});
}

// Walks over the points of one side; each has a whole number of shares of the side's mass.
template <class Points>
class Walk {
 public:
  Walk(const Points& points, std::span<const int64_t> counts, int64_t share)
      : points_(points), counts_(counts), share_(share) {
    Fill();
  }
  bool done() const { return at_ == points_.size(); }
  double value() const { return points_[at_].value; }
  int64_t left() const { return left_; }
  void Take(int64_t mass) {
    left_ -= mass;
    if (left_ > 0) return;
    ++at_;
    Fill();
  }

 private:
  void Fill() {
    for (; at_ < points_.size(); ++at_) {
      left_ = share_ * (counts_.empty() ? 1 : counts_[static_cast<size_t>(points_[at_].unit)]);
      if (left_ > 0) return;
    }
  }
  const Points& points_;
  std::span<const int64_t> counts_;
  int64_t share_;
  size_t at_ = 0;
  int64_t left_ = 0;
};

}  // namespace

SlicedWasserstein::SlicedWasserstein(const PointSet& a, const PointSet& b, int64_t dim,
                                     int64_t directions, uint64_t seed) {
  SUFFICE_CHECK(dim > 0 && directions > 0);
  const std::vector<double> vectors = DrawDirections(directions, dim, seed);
  a_ = Project(a, dim, vectors);
  b_ = Project(b, dim, vectors);
}

SlicedWasserstein::Side SlicedWasserstein::Project(const PointSet& set, int64_t dim,
                                                   const std::vector<double>& directions) {
  const auto width = static_cast<size_t>(dim);
  const size_t points = set.values.size() / width;
  SUFFICE_CHECK(set.units > 0 && points > 0 && set.values.size() == points * width &&
                points % static_cast<size_t>(set.units) == 0);
  const size_t of_a_unit = points / static_cast<size_t>(set.units);
  Side side{set.units, {}};
  for (size_t first = 0; first < directions.size(); first += width) {
    std::vector<Point> projected(points);
    for (size_t i = 0; i < points; ++i) {
      const auto point = set.values.subspan(i * width, width);
      projected[i] = {std::inner_product(point.begin(), point.end(), &directions[first], 0.0),
                      static_cast<int64_t>(i / of_a_unit)};
    }
    std::sort(projected.begin(), projected.end(), [](const Point& x, const Point& y) {
      return x.value < y.value || (x.value == y.value && x.unit < y.unit);
    });
    side.sorted.push_back(std::move(projected));
  }
  return side;
}

// Both sides have the mass A B, A and B the points that are counted of each: whole numbers, so that
// no rounding moves mass.
SlicedWasserstein::Distances SlicedWasserstein::Measure(std::span<const int64_t> counts_a,
                                                        std::span<const int64_t> counts_b) const {
  const auto points_of = [](const Side& side, std::span<const int64_t> counts) {
    return Total(counts, side.units) *
           (static_cast<int64_t>(side.sorted.front().size()) / side.units);
  };
  const int64_t total_a = points_of(a_, counts_a), total_b = points_of(b_, counts_b);
  SUFFICE_CHECK(total_a > 0 && total_b > 0);
  const double mass_of_all = static_cast<double>(total_a) * static_cast<double>(total_b);
  double one = 0, two = 0;
  for (size_t d = 0; d < a_.sorted.size(); ++d) {
    Walk a(a_.sorted[d], counts_a, total_b), b(b_.sorted[d], counts_b, total_a);
    double sum_one = 0, sum_two = 0;
    while (!a.done()) {
      const int64_t mass = std::min(a.left(), b.left());
      const double gap = std::abs(a.value() - b.value());
      sum_one += static_cast<double>(mass) * gap;
      sum_two += static_cast<double>(mass) * gap * gap;
      a.Take(mass);
      b.Take(mass);
    }
    one += sum_one / mass_of_all;
    two += sum_two / mass_of_all;
  }
  const auto count = static_cast<double>(a_.sorted.size());
  return {one / count, std::sqrt(two / count)};
}

}  // namespace suffice
