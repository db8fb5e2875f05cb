// SPDX-License-Identifier: Apache-2.0
// Chains of dependent multiply-adds, enough of them to hide the latency of each.
#pragma once

#include <cstdint>

namespace suffice::bench {
namespace {

// V: type F, Set1, Step(sum, x) and First(sum), for one vector.
template <class V, int kChains>
float RunChains(int64_t rounds) {
  typename V::F sum[kChains];
#pragma GCC unroll 32
  for (int i = 0; i < kChains; ++i) sum[i] = V::Set1(static_cast<float>(i));
  const auto x = V::Set1(1e-3f);
  for (int64_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 32
    for (int i = 0; i < kChains; ++i) sum[i] = V::Step(sum[i], x);
  }
  float total = 0.0f;
#pragma GCC unroll 32
  for (int i = 0; i < kChains; ++i) total += V::First(sum[i]);
  return total;
}

}  // namespace
}  // namespace suffice::bench
