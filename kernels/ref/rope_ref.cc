// SPDX-License-Identifier: Apache-2.0
#include <vector>

#include "kernels/ref/access.h"
#include "kernels/ref/model_ops_ref.h"

namespace suffice::ref {
namespace {

void Forward(const QkSide& s, const QkNormRopePoolParams& p) {
  const int64_t batch = s.in.dim(0), tokens = s.in.dim(1), heads = s.in.dim(2), d = s.in.dim(3);
  std::vector<double> x(static_cast<size_t>(d));
  for (int64_t b = 0; b < batch; ++b) {
    for (int64_t h = 0; h < heads; ++h) {
      for (int64_t n = 0; n < tokens; ++n) {
        double squares = 0.0;
        for (int64_t j = 0; j < d; ++j) {
          x[static_cast<size_t>(j)] = Get(s.in, {b, n, h, j});
          squares += x[static_cast<size_t>(j)] * x[static_cast<size_t>(j)];
        }
        const double rrms = 1.0 / std::sqrt(squares / static_cast<double>(d) + double{p.eps});
        if (!s.rrms.empty()) Set(s.rrms, {b, h, n}, rrms);
        if (!s.weight.empty()) {
          for (int64_t j = 0; j < d; ++j) x[static_cast<size_t>(j)] *= rrms * Get(s.weight, {j});
        }
        for (int64_t j = 0; !p.cos.empty() && j < d; j += 2) {
          const double c = Get(p.cos, {n, j / 2}), sn = Get(p.sin, {n, j / 2});
          double& even = x[static_cast<size_t>(j)];
          double& odd = x[static_cast<size_t>(j + 1)];
          const double rotated = even * c - odd * sn;
          odd = even * sn + odd * c;
          even = rotated;
        }
        for (int64_t j = 0; j < d; ++j) Set(s.out, {b, h, n, j}, x[static_cast<size_t>(j)]);
      }
      if (s.pooled.empty()) continue;
      // In fp32 and ascending order, as kernels/attention.h states for `pool`.
      for (int64_t t = 0; t < s.pooled.dim(2); ++t) {
        const int64_t begin = t * s.block, end = std::min(tokens, begin + s.block);
        for (int64_t j = 0; j < d; ++j) {
          float sum = 0.0f;
          for (int64_t n = begin; n < end; ++n) sum += static_cast<float>(Get(s.out, {b, h, n, j}));
          Set(s.pooled, {b, h, t, j}, double{sum / static_cast<float>(end - begin)});
        }
      }
    }
  }
}

// y = R(x r w) with r = 1 / rms(x): g = R^T dy, dw = sum g x r, and
// dx = r (g w) - x r^3 / D sum(g w x).
void Backward(const QkSideBackward& s, const QkNormRopeBackwardParams& p) {
  const int64_t batch = s.in.dim(0), tokens = s.in.dim(1), heads = s.in.dim(2), d = s.in.dim(3);
  std::vector<double> g(static_cast<size_t>(d)), d_weight(static_cast<size_t>(d));
  for (int64_t b = 0; b < batch; ++b) {
    for (int64_t h = 0; h < heads; ++h) {
      for (int64_t n = 0; n < tokens; ++n) {
        for (int64_t j = 0; j < d; ++j) g[static_cast<size_t>(j)] = Get(s.d_out, {b, h, n, j});
        for (int64_t j = 0; !p.cos.empty() && j < d; j += 2) {
          const double c = Get(p.cos, {n, j / 2}), sn = Get(p.sin, {n, j / 2});
          double& even = g[static_cast<size_t>(j)];
          double& odd = g[static_cast<size_t>(j + 1)];
          const double rotated = even * c + odd * sn;
          odd = odd * c - even * sn;
          even = rotated;
        }
        if (s.weight.empty()) {
          for (int64_t j = 0; j < d; ++j) Set(s.d_in, {b, n, h, j}, g[static_cast<size_t>(j)]);
          continue;
        }
        const double r = Get(s.rrms, {b, h, n});
        double product = 0.0;
        for (int64_t j = 0; j < d; ++j) {
          const double x = Get(s.in, {b, n, h, j});
          d_weight[static_cast<size_t>(j)] += g[static_cast<size_t>(j)] * x * r;
          g[static_cast<size_t>(j)] *= Get(s.weight, {j});
          product += g[static_cast<size_t>(j)] * x;
        }
        for (int64_t j = 0; j < d; ++j) {
          const double x = Get(s.in, {b, n, h, j});
          Set(s.d_in, {b, n, h, j},
              r * g[static_cast<size_t>(j)] - x * r * r * r * product / static_cast<double>(d));
        }
      }
    }
  }
  if (s.weight.empty() || s.d_weight.empty()) return;
  for (int64_t j = 0; j < d; ++j) Add(s.d_weight, {j}, d_weight[static_cast<size_t>(j)]);
}

void QkNormRopePool(Context&, const QkNormRopePoolParams& p, void*) {
  Forward(p.q, p);
  if (!p.k.in.empty()) Forward(p.k, p);
}

void QkNormRopeBackward(Context&, const QkNormRopeBackwardParams& p, void*) {
  Backward(p.q, p);
  if (!p.k.in.empty()) Backward(p.k, p);
}

}  // namespace

void AddRope(Backend& backend) {
  backend.qk_norm_rope_pool = Plain(&QkNormRopePool);
  backend.qk_norm_rope_backward = Plain(&QkNormRopeBackward);
}

}  // namespace suffice::ref
