// SPDX-License-Identifier: Apache-2.0
#include "kernels/bench/attention_bench.h"

#include <gtest/gtest.h>

#include "kernels/bench/peak.h"
#include "kernels/ref/backend_ref.h"

namespace suffice::bench {
namespace {

constexpr ProblemShape kShape = {.heads = 2, .n = 500, .dim = 64, .block = {}, .density = 0.25};
constexpr ProblemShape kDense = {.heads = 2, .n = 500, .dim = 64, .block = {}, .density = 1.0};
constexpr AttentionBenchOptions kOnce = {
    .min_repetitions = 1, .max_repetitions = 1, .seconds = 0.0};

std::vector<AttentionBenchCase> SmallCases(DType dtype) {
  using enum AttentionOperation;
  return {{kAttend, dtype, kDense},
          {kAttend, dtype, kShape},
          {kAttendBackward, dtype, kDense},
          {kAttendBackward, dtype, kShape},
          {kSelect, dtype, kShape}};
}

TEST(AttentionBench, VerifiesTimesAndRelatesItsCases) {
  Context context({.backend = "cpu", .threads = 2});
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    int reported = 0;
    const auto results = RunAttentionBench(context, SmallCases(dtype), kOnce,
                                           [&](const AttentionBenchResult&) { ++reported; });
    ASSERT_EQ(results.size(), 5u);
    EXPECT_EQ(reported, 5);
    EXPECT_EQ(results[0].density, 1.0);
    EXPECT_NEAR(results[1].density, 0.25, 0.02);  // 2 of 8 blocks, the last one partial
    for (int i = 0; i < 4; ++i) {
      const AttentionBenchResult& r = results[static_cast<size_t>(i)];
      EXPECT_GT(r.error, 0.0);
      EXPECT_GT(r.gflops, 0.0);
      ASSERT_TRUE(r.share_of_peak.has_value());
      EXPECT_GT(*r.share_of_peak, 0.0);
      EXPECT_GT(*r.peak_gflops, 0.0);
      EXPECT_EQ(r.rate_to_dense.has_value(), i % 2 == 1);
    }
    EXPECT_TRUE(results[4].seconds_to_attend.has_value());
    EXPECT_FALSE(results[4].share_of_peak.has_value());
  }
}

TEST(AttentionBench, RefusesAWrongResult) {
  static Backend wrong = RefBackend();
  wrong.name = "wrong";
  wrong.attend.run = [](Context& context, const AttendParams& params, void* workspace) {
    AttendParams changed = params;
    changed.scale = 1.01f * params.scale;
    RefBackend().attend.run(context, changed, workspace);
  };
  RegisterBackend(&wrong);
  Context context({.backend = "wrong", .threads = 1});
  const AttentionBenchCase spec = {AttentionOperation::kAttend, DType::kF32, kShape};
  EXPECT_THROW(RunAttentionBench(context, {&spec, 1}, kOnce), Error);
}

TEST(Peak, IsMeasuredForTheCpuOnly) {
  Context cpu({.backend = "cpu", .threads = 1});
  Context ref({.backend = "ref", .threads = 1});
  EXPECT_GT(MeasurePeak(cpu, DType::kF32).value_or(0.0), 0.0);
  EXPECT_FALSE(MeasurePeak(ref, DType::kF32).has_value());
}

}  // namespace
}  // namespace suffice::bench
