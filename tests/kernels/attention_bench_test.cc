// SPDX-License-Identifier: Apache-2.0
#include "kernels/bench/attention_bench.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <string>
#include <tuple>

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
    EXPECT_GT(results[5].seconds_to_attend.value_or(0.0), 0.0);
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

TEST(BenchCases, HaveNamesOfTheirOwnAndCountKeptWork) {
  for (const DeviceKind kind : {DeviceKind::kHost, DeviceKind::kCuda}) {
    std::set<std::string> names;
    for (const AttentionBenchCase& c : StandardAttentionCases(kind)) {
      EXPECT_TRUE(names.insert(NameOf(c)).second) << NameOf(c);
      const auto [batch, heads, n, dim, block, density, spread, given] = c.shape;
      const double forward = 4.0 * static_cast<double>(dim * batch * heads * n * n) * density;
      const double factor = c.operation == AttentionOperation::kAttendBackward ? 2.5
                            : CountsFlops(c.operation)                         ? 1.0
                                                                               : 0.0;
      EXPECT_DOUBLE_EQ(PlannedFlops(c), factor * forward) << NameOf(c);
    }
  }
  const ProblemShape shape = {.batch = 1,
                              .heads = 12,
                              .n = 32760,
                              .dim = 128,
                              .block = {64, 64},
                              .density = 0.05,
                              .spread = ListSpread::kLogNormal};
  EXPECT_EQ(NameOf(AttentionBenchCase{AttentionOperation::kAttend, DType::kBF16, shape}),
            "attend/bf16/1x12x32760x128/0.05/64x64/log-normal");
}

TEST(BenchCases, AreThoseThatPeersAndTargetsName) {
  std::set<std::string> names;
  for (const AttentionBenchCase& c : DeviceAttentionCases()) names.insert(NameOf(c));
  for (const char* name :
       {"attend/bf16/1x12x32760x128/1", "attend/bf16/4x16x16384x64/1",
        "attend/bf16/1x12x32760x128/0.1", "attend/bf16/1x12x32760x128/0.05",
        "attend/bf16/1x40x75600x128/1", "attend/bf16/1x40x75600x128/0.05",
        "attend_backward/bf16/1x12x32760x128/1", "attend_backward/bf16/4x16x16384x64/1",
        "attend_backward/bf16/1x12x32760x128/0.1", "attend_backward/bf16/1x12x32760x128/0.05",
        "select/bf16/1x12x32760x128/0.05/hybrid", "select_fused/bf16/1x12x32760x128/0.05/hybrid",
        "layer/bf16/1x40x75600x128/0.05/hybrid"}) {
    EXPECT_TRUE(names.contains(name)) << name;
  }
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

TEST(BenchCases, SetADeviceAgainstItsOwnDenseRate) {
  std::set<std::tuple<AttentionOperation, int64_t, int64_t>> dense;
  for (const AttentionBenchCase& c : DeviceAttentionCases()) {
    using enum AttentionOperation;
    if (c.operation != kAttend && c.operation != kAttendBackward) continue;
    const std::tuple key = {c.operation, c.shape.n, c.shape.dim};
    if (c.shape.density >= 1.0) dense.insert(key);
    EXPECT_TRUE(dense.contains(key)) << NameOf(c) << " comes before its dense case";
  }
}

TEST(BlockLists, KeepDistinctBlocksAndTransposeThem) {
  constexpr int64_t kHeads = 2, kRows = 13, kBlocks = 29;
  const HostLists rows = RandomLists(ListSpread::kEqual, 0.25, kHeads * kRows, kBlocks);
  ASSERT_EQ(rows.rows(), kHeads * kRows);
  for (int64_t i = 0; i < rows.rows(); ++i) {
    EXPECT_EQ(rows.row(i).size(), 7u);
    EXPECT_TRUE(std::ranges::is_sorted(rows.row(i), std::less_equal<>()));  // strictly
    EXPECT_LT(rows.row(i).back(), kBlocks);
  }
  EXPECT_FALSE(std::ranges::equal(rows.row(0), rows.row(1)));
  const HostLists columns = Transpose(rows, kHeads, kRows, kBlocks);
  ASSERT_EQ(columns.rows(), kHeads * kBlocks);
  EXPECT_EQ(columns.ids.size(), rows.ids.size());
  for (int64_t h = 0; h < kHeads; ++h) {
    for (int64_t j = 0; j < kBlocks; ++j) {
      for (const uint16_t i : columns.row(h * kBlocks + j)) {
        EXPECT_TRUE(std::ranges::binary_search(rows.row(h * kRows + i), j));
      }
    }
  }
  EXPECT_TRUE(std::ranges::equal(Transpose(columns, kHeads, kBlocks, kRows).ids, rows.ids));
}

TEST(BlockLists, AreLogNormalAboutTheSameMean) {
  constexpr int64_t kRows = 3072, kBlocks = 512;  // (1, 12, 32760) by blocks of 128 x 64
  double sum = 0.0, logs = 0.0, squares = 0.0;
  int64_t most = 0;
  for (int64_t i = 0; i < kRows; ++i) {
    const int64_t kept = KeptBlocks(ListSpread::kLogNormal, 0.05, kBlocks, i);
    EXPECT_GE(kept, 1);
    EXPECT_LE(kept, kBlocks);
    sum += static_cast<double>(kept);
    logs += std::log(static_cast<double>(kept));
    squares += std::log(static_cast<double>(kept)) * std::log(static_cast<double>(kept));
    most = std::max(most, kept);
  }
  const double mean_log = logs / kRows;
  EXPECT_NEAR(sum / kRows / kBlocks, 0.05, 0.003);  // its own deviation is 0.0008
  EXPECT_NEAR(std::sqrt(squares / kRows - mean_log * mean_log), kLogNormalSigma, 0.05);
  EXPECT_GT(most, 6 * kBlocks / 20);  // long rows are what it is for
}

TEST(DeviceArray, TilesNormalValuesWhereTheDeviceDrawsNone) {
  static Backend other = RefBackend();
  other.name = "draws none";
  other.device_kind = DeviceKind::kFake;
  other.normal_fill = {};
  RegisterBackend(&other);
  Context context({.backend = "draws none", .threads = 2});
  constexpr int64_t kCount = (1 << 20) + 12345;
  const std::vector<float> q = NormalArray(context, DType::kF32, {kCount}, 0).Values<float>();
  const std::vector<float> k = NormalArray(context, DType::kF32, {kCount}, 1).Values<float>();
  double sum = 0.0, squares = 0.0, products = 0.0;
  for (size_t i = 0; i < q.size(); ++i) {
    sum += double{q[i]};
    squares += double{q[i]} * double{q[i]};
    products += double{q[i]} * double{k[i]};
  }
  EXPECT_NEAR(sum / kCount, 0.0, 0.01);
  EXPECT_NEAR(squares / kCount, 1.0, 0.01);
  EXPECT_NEAR(products / kCount, 0.0, 0.01);
}

TEST(Peak, IsMeasuredForTheCpuOnly) {
  Context cpu({.backend = "cpu", .threads = 1});
  Context ref({.backend = "ref", .threads = 1});
  EXPECT_GT(MeasurePeak(cpu, DType::kF32).value_or(0.0), 0.0);
  EXPECT_FALSE(MeasurePeak(ref, DType::kF32).has_value());
}

}  // namespace
}  // namespace suffice::bench
