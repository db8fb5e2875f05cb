// SPDX-License-Identifier: Apache-2.0
// Finite-sample statistics: p-values of risk control, exact intervals, and the numbers that a plan
// of measurements needs. None assumes a distribution beyond independent draws.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace suffice {

struct Interval {
  double low = 0, high = 0;
};

// A number with its interval.
struct Estimate {
  double value = 0;
  Interval interval;
};
std::string ToText(const Estimate& e);  // "0.13300 [0.08600, 0.18000]"

// P(Bin(n, p) <= k).
double BinomialCdf(int64_t n, double p, int64_t k);

// p-value of H: risk > alpha, for n losses of 0 or 1 of which k are 1: P(Bin(n, alpha) <= k).
double BinomialPValue(int64_t n, int64_t k, double alpha);

// The same for losses in [0, 1] with mean r: min{exp(-n h(min(r, alpha), alpha)), e P(Bin(n, alpha)
// <= ceil(n r))}, h(a, b) = a ln(a/b) + (1-a) ln((1-a)/(1-b)) (Hoeffding and Bentkus; Bates et al.
// 2021, Learn then Test, arXiv 2110.01052).
double HoeffdingBentkusPValue(int64_t n, double mean, double alpha);

// Least n at which `failures` failures of n draws certify risk <= alpha at level delta (binomial).
int64_t UnitsToCertify(double alpha, double delta, int64_t failures = 0);

// Fixed-sequence testing: hypotheses in an order fixed beforehand are rejected at level delta until
// one is not. Returns how many are rejected. Controls the family-wise error at delta.
size_t FixedSequence(std::span<const double> p_values, double delta);

// Clopper and Pearson's exact interval of a probability.
Interval ClopperPearson(int64_t n, int64_t k, double confidence = 0.95);

double Mean(std::span<const double> x);
double Quantile(std::vector<double> x, double q);  // linear between order statistics; x not empty

// Student's interval of a mean (n >= 2; else the mean twice).
Interval MeanInterval(std::span<const double> x, double confidence = 0.95);
// The same cut to [0, 1], where x lies.
Interval LossInterval(std::span<const double> x, double confidence = 0.95);
// Of the mean of a - b over pairs.
Interval PairedInterval(std::span<const double> a, std::span<const double> b,
                        double confidence = 0.95);
// Percentile bootstrap of sum(a) / sum(b) over pairs, `draws` resamples keyed by `seed`.
Interval RatioInterval(std::span<const double> a, std::span<const double> b, uint64_t seed,
                       double confidence = 0.95, int draws = 2000);

// e = sum |u - u_d|^2 / sum |u_d|^2 over units, with RatioInterval's interval. Unlike a mean loss
// it is not cut off at 1, and a unit weighs as much as its velocity. None where the reference's
// velocity u_d is zero everywhere.
std::optional<Estimate> RelativeError(std::span<const double> difference,
                                      std::span<const double> reference, uint64_t seed);

}  // namespace suffice
