// SPDX-License-Identifier: Apache-2.0
#include "kernels/ref/access.h"
#include "kernels/ref/model_ops_ref.h"

namespace suffice::ref {
namespace {

void NormModulate(Context&, const NormModulateParams& p, void*) {
  const int64_t m = p.x.dim(0), d = p.x.dim(1);
  const int64_t rows = p.scale.empty() ? 1 : m / p.scale.dim(0);
  for (int64_t i = 0; i < m; ++i) {
    double mean = 0.0, variance = 0.0;
    for (int64_t j = 0; j < d; ++j) mean += Get(p.x, {i, j});
    mean /= static_cast<double>(d);
    for (int64_t j = 0; j < d; ++j) {
      const double centred = Get(p.x, {i, j}) - mean;
      variance += centred * centred;
    }
    variance /= static_cast<double>(d);
    const double rstd = 1.0 / std::sqrt(variance + double{p.eps});
    Set(p.mean, {i}, mean);
    Set(p.rstd, {i}, rstd);
    for (int64_t j = 0; j < d; ++j) {
      double y = (Get(p.x, {i, j}) - mean) * rstd;
      if (!p.scale.empty())
        y = y * (1.0 + Get(p.scale, {i / rows, j})) + Get(p.shift, {i / rows, j});
      Set(p.y, {i, j}, y);
    }
  }
}

// With x^ = (x - mean) rstd and g = dy (1 + scale): dx = rstd (g - mean(g) - x^ mean(g x^)).
void NormModulateBackward(Context&, const NormModulateBackwardParams& p, void*) {
  const int64_t m = p.x.dim(0), d = p.x.dim(1);
  const int64_t groups = p.scale.empty() ? m : p.scale.dim(0);
  const int64_t rows = m / groups;
  for (int64_t i = 0; i < m; ++i) {
    const double mean = Get(p.mean, {i}), rstd = Get(p.rstd, {i});
    const auto normed = [&](int64_t j) { return (Get(p.x, {i, j}) - mean) * rstd; };
    const auto gradient = [&](int64_t j) {
      return Get(p.dy, {i, j}) * (p.scale.empty() ? 1.0 : 1.0 + Get(p.scale, {i / rows, j}));
    };
    double sum = 0.0, product = 0.0;
    for (int64_t j = 0; j < d; ++j) {
      sum += gradient(j);
      product += gradient(j) * normed(j);
    }
    sum /= static_cast<double>(d);
    product /= static_cast<double>(d);
    for (int64_t j = 0; j < d; ++j) {
      const double dx = rstd * (gradient(j) - sum - normed(j) * product);
      Set(p.dx, {i, j}, p.accumulate_dx ? Get(p.dx, {i, j}) + dx : dx);
    }
  }
  if (p.d_scale.empty()) return;
  for (int64_t g = 0; g < groups; ++g) {
    for (int64_t j = 0; j < d; ++j) {
      double d_scale = 0.0, d_shift = 0.0;
      for (int64_t i = g * rows; i < (g + 1) * rows; ++i) {
        const double dy = Get(p.dy, {i, j});
        d_scale += dy * (Get(p.x, {i, j}) - Get(p.mean, {i})) * Get(p.rstd, {i});
        d_shift += dy;
      }
      Add(p.d_scale, {g, j}, d_scale);
      Add(p.d_shift, {g, j}, d_shift);
    }
  }
}

}  // namespace

void AddNorm(Backend& backend) {
  backend.norm_modulate = Plain(&NormModulate);
  backend.norm_modulate_backward = Plain(&NormModulateBackward);
}

}  // namespace suffice::ref
