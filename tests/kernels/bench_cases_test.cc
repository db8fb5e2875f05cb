// SPDX-License-Identifier: Apache-2.0
// What a benchmark is made of: its cases, its lists and its random values.
#include "kernels/bench/bench_cases.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <set>
#include <string>
#include <tuple>

#include "kernels/bench/attention_bench.h"
#include "kernels/ref/backend_ref.h"

namespace suffice::bench {
namespace {

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

}  // namespace
}  // namespace suffice::bench
