// SPDX-License-Identifier: Apache-2.0
#include "kernels/bench/attention_bench.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "kernels/bench/device_probe.h"
#include "kernels/bench/median.h"
#include "kernels/bench/peak.h"
#include "kernels/ref/backend_ref.h"

namespace suffice::bench {
namespace {

const ProblemShape kShape = {.heads = 2, .n = 500, .dim = 64, .block = {}, .density = 0.25};
const ProblemShape kDense = {.heads = 2, .n = 500, .dim = 64, .block = {}, .density = 1.0};
constexpr AttentionBenchOptions kOnce = {
    .min_repetitions = 1, .max_repetitions = 1, .seconds = 0.0};

std::vector<AttentionBenchCase> SmallCases(DType dtype) {
  using enum AttentionOperation;
  return {{kAttend, dtype, kDense},         {kAttend, dtype, kShape},
          {kAttendBackward, dtype, kDense}, {kAttendBackward, dtype, kShape},
          {kSelect, dtype, kShape},         {kLayer, dtype, kShape, SelectRule::kHybrid}};
}

bool HasGpu() {
  for (const Backend* backend : Backends()) {
    if (backend->device_kind == DeviceKind::kCuda && !backend->unavailable(0)) return true;
  }
  return false;
}

TEST(AttentionBench, VerifiesTimesAndRelatesItsCases) {
  Context context({.backend = "cpu", .threads = 2});
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    int reported = 0;
    const auto results = RunAttentionBench(context, SmallCases(dtype), kOnce,
                                           [&](const AttentionBenchResult&) { ++reported; });
    ASSERT_EQ(results.size(), 6u);
    EXPECT_EQ(reported, 6);
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
    EXPECT_EQ(results[4].error, 0.0);
    EXPECT_NEAR(results[4].density, 0.25, 0.02);
    EXPECT_GT(results[5].error, 0.0);
    EXPECT_TRUE(results[5].rate_to_dense.has_value());
    // Of a difference of two times: of any sign where a machine is busy, but measured.
    EXPECT_NE(results[5].seconds_to_attend.value_or(0.0), 0.0);
  }
}

TEST(AttentionBench, TakesAMaskApart) {
  using enum AttentionOperation;
  for (const char* backend : {"cpu", "ref"}) {
    Context context({.backend = backend, .threads = 2});
    std::vector<AttentionBenchCase> cases;
    for (const auto operation : {kPool, kScoreSelect, kTranspose, kPoolFused, kSelectFused}) {
      cases.push_back({operation, DType::kBF16, kShape, SelectRule::kHybrid});
    }
    for (const AttentionBenchResult& r : RunAttentionBench(context, cases, kOnce)) {
      EXPECT_EQ(r.absent, "") << NameOf(r.spec);
      EXPECT_EQ(r.gflops, 0.0);
      EXPECT_LE(r.error, 2e-6);
    }
  }
}

TEST(AttentionBench, ReportsWhatABackendLacksAsAbsent) {
  static Backend poor = RefBackend();
  poor.name = "poor";
  poor.qk_norm_rope_pool = {};
  RegisterBackend(&poor);
  Context context({.backend = "poor", .threads = 1});
  const AttentionBenchCase cases[] = {
      {AttentionOperation::kSelectFused, DType::kF32, kShape, SelectRule::kHybrid},
      {AttentionOperation::kPool, DType::kF32, kShape}};
  const auto results = RunAttentionBench(context, cases, kOnce);
  EXPECT_EQ(results[0].absent, "qk_norm_rope_pool: not in this build");
  EXPECT_EQ(results[0].repetitions, 0);
  EXPECT_EQ(results[1].absent, "");
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

TEST(AttentionBench, RefusesAWrongSelection) {
  static Backend wrong = RefBackend();
  wrong.name = "wrong selection";
  wrong.select.run = [](Context& context, const SelectParams& params, void* workspace) {
    SelectParams changed = params;
    changed.scale = -params.scale;  // the worst blocks
    RefBackend().select.run(context, changed, workspace);
  };
  RegisterBackend(&wrong);
  Context context({.backend = "wrong selection", .threads = 1});
  const AttentionBenchCase spec = {AttentionOperation::kSelect, DType::kF32, kShape};
  EXPECT_THROW(RunAttentionBench(context, {&spec, 1}, kOnce), Error);
}

TEST(AttentionBench, RunsOverTheListsOfAMask) {
  const ProblemShape shape = {.heads = 2, .n = 500, .dim = 64, .block = {}};
  std::vector<uint8_t> mask(size_t{2} * 4 * 8, 0);
  for (size_t row = 1; row < 8; ++row) mask[8 * row + row] = mask[8 * row] = 1;  // row 0: nothing
  Context context({.backend = "cpu", .threads = 2});
  const auto cases = CasesOfMask(shape, ListsOf(mask, 8));
  const auto results = RunAttentionBench(context, cases, kOnce);
  ASSERT_EQ(results.size(), 4u);
  EXPECT_NEAR(results[1].density, 14.0 / 64, 0.01);
  EXPECT_TRUE(results[1].rate_to_dense.has_value());
  EXPECT_TRUE(results[3].rate_to_dense.has_value());
  EXPECT_EQ(NameOf(results[1].spec).substr(0, 24), "attend/bf16/1x2x500x64/0");
  EXPECT_EQ(NameOf(results[1].spec).substr(NameOf(results[1].spec).size() - 6), "/given");
}

TEST(DeviceProbe, IsOfADeviceOnly) {
  Context context({.backend = "cpu", .threads = 1});
  EXPECT_EQ(OpenDeviceProbe(context), nullptr);
}

TEST(DeviceProbe, TimesAGpuAgainstItsCeilings) {
  if (!HasGpu()) GTEST_SKIP() << "no usable GPU";
  Context context({.backend = "cuda"});
  const std::unique_ptr<DeviceProbe> probe = OpenDeviceProbe(context);
  ASSERT_NE(probe, nullptr);
  EXPECT_NE(probe->Facts().name, "");
  DeviceCeilings ceilings(context, *probe);
  const double flops = 1e9 * ceilings.ProductGflops();
  EXPECT_GT(flops, 0.0);
  EXPECT_GT(ceilings.CopyBytesPerSecond(), 0.0);
  // A copy captured and replayed takes about as long as one that is not.
  const DeviceArray from = NormalArray(context, DType::kF32, {1 << 26}, 0);
  const DeviceArray to(context, DType::kF32, {1 << 26});
  const auto copy = [&] {
    context.backend().copy(context, to.view().data, DeviceKind::kCuda, from.view().data,
                           DeviceKind::kCuda, from.view().bytes());
  };
  copy();
  const Repetitions some = {.fewest = 5, .most = 9, .seconds = 1.0};
  const double plain = Median(probe->Time(copy, some, false));
  const double replayed = Median(probe->Time(copy, some, true));
  EXPECT_LT(replayed, 2.0 * plain);
  EXPECT_LT(plain, 2.0 * replayed);
}

TEST(AttentionBench, VerifiesTimesAndRelatesItsCasesOnAGpu) {
  if (!HasGpu()) GTEST_SKIP() << "no usable GPU";
  using enum AttentionOperation;
  for (const char* isa : {"auto", "sm_80"}) {
    Context context({.backend = "cuda", .isa = isa});
    std::vector<AttentionBenchCase> cases = SmallCases(DType::kBF16);
    for (const auto operation : {kPool, kScoreSelect, kTranspose, kPoolFused, kSelectFused}) {
      cases.push_back({operation, DType::kBF16, kShape, SelectRule::kHybrid});
    }
    const AttentionBenchOptions few = {.max_device_repetitions = 5, .seconds = 0.1};
    for (const AttentionBenchResult& r : RunAttentionBench(context, cases, few)) {
      if (!r.absent.empty()) continue;
      EXPECT_GT(r.repetitions, 0) << NameOf(r.spec);
      EXPECT_EQ(r.share_of_peak.has_value(), CountsFlops(r.spec.operation)) << NameOf(r.spec);
      EXPECT_EQ(r.share_of_copy.has_value(), ReadsQAndK(r.spec.operation)) << NameOf(r.spec);
    }
  }
}

TEST(Peak, IsMeasuredForTheCpuOnly) {
  Context cpu({.backend = "cpu", .threads = 1});
  Context ref({.backend = "ref", .threads = 1});
  EXPECT_GT(MeasurePeak(cpu, DType::kF32).value_or(0.0), 0.0);
  EXPECT_FALSE(MeasurePeak(ref, DType::kF32).has_value());
}

}  // namespace
}  // namespace suffice::bench
