// SPDX-License-Identifier: Apache-2.0
#include "kernels/bench/peak.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <string_view>

namespace suffice::bench {
namespace {

PeakLoop LoopFor(CpuIsa isa, DType dtype) {
#if defined(__x86_64__)
  switch (isa) {
    case CpuIsa::kAvx512Bf16:
      return dtype == DType::kBF16 ? PeakLoopAvx512Bf16() : PeakLoopAvx512();
    case CpuIsa::kAvx512:
      return PeakLoopAvx512();
    case CpuIsa::kAvx2:
      return PeakLoopAvx2();
    case CpuIsa::kPortable:
      break;
  }
#endif
  static_cast<void>(isa);
  static_cast<void>(dtype);
  return PeakLoopPortable();
}

}  // namespace

std::optional<double> MeasurePeak(Context& context, DType dtype) {
  if (std::string_view(context.backend().name) != "cpu") return std::nullopt;
  using Clock = std::chrono::steady_clock;
  constexpr int64_t kRounds = 1'000'000;  // a few milliseconds
  constexpr int kRepetitions = 7;
  const PeakLoop loop = LoopFor(context.isa(), dtype);
  ThreadPool& pool = context.pool();
  std::atomic<float> sink{0.0f};
  double best = 0.0;
  for (int n = 0; n < kRepetitions; ++n) {
    const auto begin = Clock::now();
    pool.ParallelFor(pool.threads(), 1, [&](int64_t, int) {
      sink.store(loop.run(kRounds), std::memory_order_relaxed);
    });
    const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
    best = std::max(best, loop.flops * kRounds * pool.threads() / seconds);
  }
  return best * 1e-9;
}

}  // namespace suffice::bench
