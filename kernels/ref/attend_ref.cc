// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <limits>

#include "kernels/ref/attention_ref.h"

namespace suffice::ref {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

template <class T>
void AttendHeads(const AttendParams& p, double* scores, double* sums) {
  const int64_t heads = p.q.dim(1);
  const int64_t group = heads / p.k.dim(1);
  const int64_t dim = p.q.dim(3);
  for (int64_t b = 0; b < p.q.dim(0); ++b) {
    for (int64_t h = 0; h < heads; ++h) {
      for (int64_t t = 0; t < p.q.dim(2); ++t) {
        const T* q = p.q.ptr<T>({b, h, t});
        double max = -kInfinity;
        int64_t count = 0;
        ForEachKeptKey(p, b, h, t, [&](int64_t key) {
          const double s = double{p.scale} * Dot(q, p.k.ptr<T>({b, h / group, key}), dim);
          scores[count++] = s;
          if (s > max || std::isnan(s)) max = s;
        });

        double total = 0.0;
        std::fill(sums, sums + dim, 0.0);
        int64_t n = 0;
        ForEachKeptKey(p, b, h, t, [&](int64_t key) {
          const double weight = std::exp(scores[n++] - max);
          const T* v = p.v.ptr<T>({b, h / group, key});
          total += weight;
          for (int64_t d = 0; d < dim; ++d) sums[d] += weight * double{ToFloat(v[d])};
        });

        T* o = p.o.ptr<T>({b, h, t});
        for (int64_t d = 0; d < dim; ++d) Store(count == 0 ? 0.0 : sums[d] / total, o + d);
        if (!p.lse.empty()) {
          *p.lse.ptr<float>({b, h, t}) =
              static_cast<float>(count == 0 ? -kInfinity : max + std::log(total));
        }
      }
    }
  }
}

template <class T>
void FullLseHeads(const FullLseParams& p) {
  const int64_t heads = p.q.dim(1);
  const int64_t group = heads / p.k.dim(1);
  for (int64_t b = 0; b < p.q.dim(0); ++b) {
    for (int64_t h = 0; h < heads; ++h) {
      for (int64_t r = 0; r < p.lse_full.dim(2); ++r) {
        const int64_t t = p.row_ids.empty() ? r : *p.row_ids.ptr<int64_t>({r});
        const int64_t last_key = LastKey(p.mask, t, p.q.dim(2), p.k.dim(2));
        const auto score = [&](int64_t key) {
          return double{p.scale} *
                 Dot(p.q.ptr<T>({b, h, t}), p.k.ptr<T>({b, h / group, key}), p.q.dim(3));
        };
        double max = -kInfinity;
        for (int64_t key = 0; key <= last_key; ++key) max = std::max(max, score(key));
        double total = 0.0;
        for (int64_t key = 0; key <= last_key; ++key) total += std::exp(score(key) - max);
        *p.lse_full.ptr<float>({b, h, r}) =
            static_cast<float>(last_key < 0 ? -kInfinity : max + std::log(total));
      }
    }
  }
}

}  // namespace

size_t AttendWorkspaceBytes(const Context&, const AttendParams& p) {
  return static_cast<size_t>(p.k.dim(2) + p.q.dim(3)) * sizeof(double);
}

void Attend(Context&, const AttendParams& p, void* workspace) {
  double* scores = static_cast<double*>(workspace);
  double* sums = scores + p.k.dim(2);
  if (p.q.dtype == DType::kBF16) {
    AttendHeads<BFloat16>(p, scores, sums);
  } else {
    AttendHeads<float>(p, scores, sums);
  }
}

void FullLse(Context&, const FullLseParams& p, void*) {
  if (p.q.dtype == DType::kBF16) {
    FullLseHeads<BFloat16>(p);
  } else {
    FullLseHeads<float>(p);
  }
}

}  // namespace suffice::ref
