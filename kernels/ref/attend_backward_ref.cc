// SPDX-License-Identifier: Apache-2.0
// Per query t and kept key j, with s = scale q.k and p = softmax(s):
//   dv_j += p_j do_t     dp_j = do_t . v_j     ds_j = p_j (dp_j - sum_i p_i dp_i)
//   dq_t += scale ds_j k_j     dk_j += scale ds_j q_t
// p comes from q and k alone, not from the o and lse that were rounded when they were stored.
#include <cmath>
#include <limits>

#include "kernels/ref/attention_ref.h"

namespace suffice::ref {
namespace {

// Sums of one key head, and of one query; all in the workspace.
struct Scratch {
  double* dk;
  double* dv;
  double* dq;
  double* p;
  double* dp;
};

template <class T>
void AddQuery(const AttendBackwardParams& p, int64_t b, int64_t h, int64_t t, const Scratch& w) {
  const int64_t group = p.q.dim(1) / p.k.dim(1);
  const int64_t dim = p.q.dim(3);
  const T* q = p.q.ptr<T>({b, h, t});
  const T* d_o = p.d_o.ptr<T>({b, h, t});
  double max = -std::numeric_limits<double>::infinity();
  int64_t count = 0;
  ForEachKeptKey(p, b, h, t, [&](int64_t key) {
    w.p[count] = double{p.scale} * Dot(q, p.k.ptr<T>({b, h / group, key}), dim);
    w.dp[count] = Dot(d_o, p.v.ptr<T>({b, h / group, key}), dim);
    max = std::max(max, w.p[count++]);
  });
  double total = 0.0;
  for (int64_t n = 0; n < count; ++n) total += w.p[n] = std::exp(w.p[n] - max);
  double delta = 0.0;
  for (int64_t n = 0; n < count; ++n) delta += (w.p[n] /= total) * w.dp[n];

  std::fill(w.dq, w.dq + dim, 0.0);
  int64_t n = 0;
  ForEachKeptKey(p, b, h, t, [&](int64_t key) {
    const double ds = double{p.scale} * w.p[n] * (w.dp[n] - delta);
    const T* k = p.k.ptr<T>({b, h / group, key});
    for (int64_t d = 0; d < dim; ++d) {
      w.dq[d] += ds * double{ToFloat(k[d])};
      w.dk[key * dim + d] += ds * double{ToFloat(q[d])};
      w.dv[key * dim + d] += w.p[n] * double{ToFloat(d_o[d])};
    }
    ++n;
  });
  for (int64_t d = 0; d < dim; ++d) Store(w.dq[d], p.dq.ptr<T>({b, h, t}) + d);
}

template <class T>
void Backward(const AttendBackwardParams& p, const Scratch& w) {
  const int64_t n_k = p.k.dim(2);
  const int64_t dim = p.k.dim(3);
  const int64_t group = p.q.dim(1) / p.k.dim(1);
  for (int64_t b = 0; b < p.k.dim(0); ++b) {
    for (int64_t key_head = 0; key_head < p.k.dim(1); ++key_head) {
      std::fill(w.dk, w.dk + n_k * dim, 0.0);
      std::fill(w.dv, w.dv + n_k * dim, 0.0);
      for (int64_t h = key_head * group; h < (key_head + 1) * group; ++h) {
        for (int64_t t = 0; t < p.q.dim(2); ++t) AddQuery<T>(p, b, h, t, w);
      }
      for (int64_t key = 0; key < n_k; ++key) {
        for (int64_t d = 0; d < dim; ++d) {
          Store(w.dk[key * dim + d], p.dk.ptr<T>({b, key_head, key}) + d);
          Store(w.dv[key * dim + d], p.dv.ptr<T>({b, key_head, key}) + d);
        }
      }
    }
  }
}

}  // namespace

size_t AttendBackwardWorkspaceBytes(const Context&, const AttendBackwardParams& p) {
  const int64_t n_k = p.k.dim(2);
  const int64_t dim = p.k.dim(3);
  return static_cast<size_t>(2 * n_k * dim + dim + 2 * n_k) * sizeof(double);
}

void AttendBackward(Context&, const AttendBackwardParams& p, void* workspace) {
  const int64_t n_k = p.k.dim(2);
  const int64_t dim = p.k.dim(3);
  Scratch w{};
  w.dk = static_cast<double*>(workspace);
  w.dv = w.dk + n_k * dim;
  w.dq = w.dv + n_k * dim;
  w.p = w.dq + dim;
  w.dp = w.p + n_k;
  if (p.q.dtype == DType::kBF16) {
    Backward<BFloat16>(p, w);
  } else {
    Backward<float>(p, w);
  }
}

}  // namespace suffice::ref
