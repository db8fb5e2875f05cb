// SPDX-License-Identifier: Apache-2.0
// The Frechet distance between two sets of features, each taken for a Gaussian (Heusel et al.,
// "GANs trained by a two time-scale update rule converge to a local Nash equilibrium", arXiv
// 1706.08500, Eq. 6; of video features: Unterthiner et al., arXiv 1812.01717):
//
//   d^2 = |mu_1 - mu_2|^2 + tr(Sigma_1 + Sigma_2 - 2 (Sigma_1 Sigma_2)^(1/2))
//
// From n units each the estimate is biased upward, by about 1/n (Chong and Forsyth, arXiv
// 1911.07023): compare distances at one n alone, and with that between two sets from one source.
// With n <= dim a covariance is singular: d^2 is still defined, its bias is then most of it.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace suffice {

struct GaussianFit {
  std::vector<double> mean;        // (dim)
  std::vector<double> covariance;  // (dim, dim), divided by n - 1

  int64_t dim() const { return static_cast<int64_t>(mean.size()); }
};

// Of rows (n, dim), n >= 2, each taken as often as `counts` says (once each if it is empty).
GaussianFit FitGaussian(std::span<const double> rows, int64_t dim,
                        std::span<const int64_t> counts = {});

// d^2, at least 0. The trace of the root is that of (R Sigma_2 R)^(1/2), R the root of Sigma_1:
// two decompositions of symmetric matrices, in double.
double FrechetDistance(const GaussianFit& a, const GaussianFit& b);

}  // namespace suffice
