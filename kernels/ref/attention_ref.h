// SPDX-License-Identifier: Apache-2.0
// The reference forms of kernels/attention.h: the formulas as they stand, sums in double, one
// thread. Only the pooled means are fp32 sums, because their order is part of the definition.
#pragma once

#include <algorithm>

#include "kernels/backend.h"

namespace suffice {

void AddAttentionRef(Backend& table);

namespace ref {

void Pool(Context& context, const PoolParams& params, void* workspace);
void Select(Context& context, const SelectParams& params, void* workspace);
void Attend(Context& context, const AttendParams& params, void* workspace);
void AttendBackward(Context& context, const AttendBackwardParams& params, void* workspace);
void FullLse(Context& context, const FullLseParams& params, void* workspace);

size_t SelectWorkspaceBytes(const Context& context, const SelectParams& params);
size_t AttendWorkspaceBytes(const Context& context, const AttendParams& params);
size_t AttendBackwardWorkspaceBytes(const Context& context, const AttendBackwardParams& params);

// The last key that query t may see; negative if there is none.
inline int64_t LastKey(const AttentionMask& mask, int64_t t, int64_t n_q, int64_t n_k) {
  return mask.causal ? std::min(t + n_k - n_q, n_k - 1) : n_k - 1;
}

// Calls f(key) for each allowed key of the kept blocks of query t of head h, in the list's order.
// Params is that of attend or of attend_backward.
template <class Params, class F>
void ForEachKeptKey(const Params& p, int64_t b, int64_t h, int64_t t, F f) {
  const int64_t n_q = p.q.dim(2);
  const int64_t n_k = p.k.dim(2);
  const int64_t last_key = LastKey(p.mask, t, n_q, n_k);
  const auto block = [&](int64_t j) {
    const int64_t end = std::min({(j + 1) * p.block.k, n_k, last_key + 1});
    for (int64_t key = j * p.block.k; key < end; ++key) f(key);
  };
  if (p.rows.empty()) {
    for (int64_t j = 0; j < BlockCount(n_k, p.block.k); ++j) block(j);
    return;
  }
  const int64_t row = (b * p.q.dim(1) + h) * BlockCount(n_q, p.block.q) + t / p.block.q;
  const int64_t* ptr = p.rows.ptr.template ptr<int64_t>();
  const uint16_t* ids = p.rows.ids.template ptr<uint16_t>();
  for (int64_t n = ptr[row]; n < ptr[row + 1]; ++n) block(ids[n]);
}

// sum_d a[d] b[d] of two rows.
template <class A, class B>
double Dot(const A* a, const B* b, int64_t dim) {
  double sum = 0.0;
  for (int64_t d = 0; d < dim; ++d) sum += double{ToFloat(a[d])} * double{ToFloat(b[d])};
  return sum;
}

inline void Store(double x, float* to) { *to = static_cast<float>(x); }
inline void Store(double x, BFloat16* to) { *to = ToBFloat16(static_cast<float>(x)); }

}  // namespace ref
}  // namespace suffice
