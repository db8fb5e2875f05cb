// SPDX-License-Identifier: Apache-2.0
#include "lib/stats/frechet.h"

#include <Eigen/Dense>
#include <algorithm>
#include <cmath>

#include "lib/base/error.h"

namespace suffice {
namespace {

using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using Solver = Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd>;

Eigen::Map<const Matrix> AsMatrix(const std::vector<double>& values, int64_t dim) {
  return {values.data(), dim, dim};
}

// Rounding may leave an eigenvalue of a covariance a little below zero.
Eigen::VectorXd RootsOf(const Solver& solver) {
  SUFFICE_CHECK(solver.info() == Eigen::Success);
  return solver.eigenvalues().cwiseMax(0.0).cwiseSqrt();
}

}  // namespace

GaussianFit FitGaussian(std::span<const double> rows, int64_t dim,
                        std::span<const int64_t> counts) {
  SUFFICE_CHECK(dim > 0 && rows.size() % static_cast<size_t>(dim) == 0);
  const int64_t n = static_cast<int64_t>(rows.size()) / dim;
  SUFFICE_CHECK(n >= 2 && (counts.empty() || static_cast<int64_t>(counts.size()) == n));
  const Eigen::Map<const Matrix> x(rows.data(), n, dim);
  Eigen::VectorXd weight = Eigen::VectorXd::Ones(n);
  for (int64_t i = 0; i < n && !counts.empty(); ++i) {
    weight[i] = static_cast<double>(counts[static_cast<size_t>(i)]);
  }
  const double total = weight.sum();
  const Eigen::VectorXd mean = x.transpose() * weight / total;
  const Matrix centred =
      ((x.rowwise() - mean.transpose()).array().colwise() * weight.array().sqrt()).matrix();
  const Matrix covariance = centred.transpose() * centred / (total - 1);
  GaussianFit fit;
  fit.mean.assign(mean.data(), mean.data() + dim);
  fit.covariance.assign(covariance.data(), covariance.data() + dim * dim);
  return fit;
}

double FrechetDistance(const GaussianFit& a, const GaussianFit& b) {
  const int64_t dim = a.dim();
  SUFFICE_CHECK(dim > 0 && b.dim() == dim);
  double between = 0;
  for (size_t i = 0; i < a.mean.size(); ++i) between += std::pow(a.mean[i] - b.mean[i], 2);
  const auto sigma_a = AsMatrix(a.covariance, dim), sigma_b = AsMatrix(b.covariance, dim);
  const Solver of_a(sigma_a);
  const Eigen::MatrixXd root =
      of_a.eigenvectors() * RootsOf(of_a).asDiagonal() * of_a.eigenvectors().transpose();
  const Eigen::MatrixXd product = root * sigma_b * root;
  const Solver of_product(0.5 * (product + product.transpose()), Eigen::EigenvaluesOnly);
  const double within = sigma_a.trace() + sigma_b.trace() - 2 * RootsOf(of_product).sum();
  return std::max(0.0, between + within);
}

}  // namespace suffice
