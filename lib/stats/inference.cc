// SPDX-License-Identifier: Apache-2.0
#include "lib/stats/inference.h"

#include <algorithm>
#include <boost/math/distributions/beta.hpp>
#include <boost/math/distributions/binomial.hpp>
#include <boost/math/distributions/students_t.hpp>
#include <cmath>
#include <numeric>

#include "lib/base/error.h"
#include "lib/base/philox.h"

namespace suffice {

double BinomialCdf(int64_t n, double p, int64_t k) {
  if (k < 0) return 0;
  if (k >= n) return 1;
  return boost::math::cdf(boost::math::binomial_distribution<double>(static_cast<double>(n), p),
                          static_cast<double>(k));
}

double BinomialPValue(int64_t n, int64_t k, double alpha) {
  return n == 0 ? 1 : BinomialCdf(n, alpha, k);
}

double HoeffdingBentkusPValue(int64_t n, double mean, double alpha) {
  if (n == 0) return 1;
  const auto count = static_cast<double>(n);
  const double a = std::min(mean, alpha);
  const double left = a > 0 ? a * std::log(a / alpha) : 0;
  const double right = a < 1 ? (1 - a) * std::log((1 - a) / (1 - alpha)) : 0;
  const double hoeffding = std::exp(-count * (left + right));
  // A mean that is a whole number of failures but for rounding must not count one more.
  const auto failures = static_cast<int64_t>(std::ceil(count * mean - 1e-9 * count));
  const double bentkus = std::exp(1.0) * BinomialCdf(n, alpha, failures);
  return std::min({1.0, hoeffding, bentkus});
}

int64_t UnitsToCertify(double alpha, double delta, int64_t failures) {
  SUFFICE_CHECK(alpha > 0 && alpha < 1 && delta > 0 && delta < 1);
  int64_t high = failures + 1;
  while (BinomialPValue(high, failures, alpha) > delta) high *= 2;
  int64_t low = failures;
  while (high - low > 1) {
    const int64_t middle = low + (high - low) / 2;
    (BinomialPValue(middle, failures, alpha) > delta ? low : high) = middle;
  }
  return high;
}

size_t FixedSequence(std::span<const double> p_values, double delta) {
  const auto stop =
      std::find_if(p_values.begin(), p_values.end(), [&](double p) { return !(p <= delta); });
  return static_cast<size_t>(stop - p_values.begin());
}

Interval ClopperPearson(int64_t n, int64_t k, double confidence) {
  if (n == 0) return {0, 1};
  const double tail = (1 - confidence) / 2;
  const auto successes = static_cast<double>(k), count = static_cast<double>(n);
  Interval interval{0, 1};
  if (k > 0) {
    interval.low = boost::math::quantile(
        boost::math::beta_distribution<double>(successes, count - successes + 1), tail);
  }
  if (k < n) {
    interval.high = boost::math::quantile(boost::math::complement(
        boost::math::beta_distribution<double>(successes + 1, count - successes), tail));
  }
  return interval;
}

double Mean(std::span<const double> x) {
  return x.empty() ? 0 : std::accumulate(x.begin(), x.end(), 0.0) / static_cast<double>(x.size());
}

double Quantile(std::vector<double> x, double q) {
  SUFFICE_CHECK(!x.empty());
  std::sort(x.begin(), x.end());
  const double place = q * static_cast<double>(x.size() - 1);
  const auto below = static_cast<size_t>(place);
  const size_t above = std::min(below + 1, x.size() - 1);
  return x[below] + (place - static_cast<double>(below)) * (x[above] - x[below]);
}

Interval MeanInterval(std::span<const double> x, double confidence) {
  const double mean = Mean(x);
  if (x.size() < 2) return {mean, mean};
  const auto n = static_cast<double>(x.size());
  double square = 0;
  for (const double value : x) square += (value - mean) * (value - mean);
  const double t = boost::math::quantile(boost::math::complement(
      boost::math::students_t_distribution<double>(n - 1), (1 - confidence) / 2));
  const double half = t * std::sqrt(square / (n - 1) / n);
  return {mean - half, mean + half};
}

Interval LossInterval(std::span<const double> x, double confidence) {
  const Interval interval = MeanInterval(x, confidence);
  return {std::max(0.0, interval.low), std::min(1.0, interval.high)};
}

Interval PairedInterval(std::span<const double> a, std::span<const double> b, double confidence) {
  SUFFICE_CHECK(a.size() == b.size());
  std::vector<double> difference(a.size());
  for (size_t i = 0; i < a.size(); ++i) difference[i] = a[i] - b[i];
  return MeanInterval(difference, confidence);
}

Interval RatioInterval(std::span<const double> a, std::span<const double> b, uint64_t seed,
                       double confidence, int draws) {
  SUFFICE_CHECK(a.size() == b.size() && !a.empty());
  const uint64_t n = a.size();
  std::vector<double> ratios;
  uint64_t index = 0;
  for (int draw = 0; draw < draws; ++draw) {
    double top = 0, bottom = 0;
    for (uint64_t i = 0; i < n; ++i) {
      const uint32_t bits =
          Philox(seed, static_cast<uint32_t>(Stream::kSplit), index >> 2)[index & 3];
      ++index;
      const auto pick = static_cast<size_t>(uint64_t{bits} * n >> 32);
      top += a[pick];
      bottom += b[pick];
    }
    ratios.push_back(bottom > 0 ? top / bottom : 0);
  }
  return {Quantile(ratios, (1 - confidence) / 2), Quantile(ratios, (1 + confidence) / 2)};
}

std::optional<Estimate> RelativeError(std::span<const double> difference,
                                      std::span<const double> reference, uint64_t seed) {
  const double energy = std::accumulate(reference.begin(), reference.end(), 0.0);
  if (energy == 0) return std::nullopt;
  return Estimate{std::accumulate(difference.begin(), difference.end(), 0.0) / energy,
                  RatioInterval(difference, reference, seed)};
}

std::string ToText(const Estimate& e) {
  return fmt::format("{:.5f} [{:.5f}, {:.5f}]", e.value, e.interval.low, e.interval.high);
}

}  // namespace suffice
