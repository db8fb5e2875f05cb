// SPDX-License-Identifier: Apache-2.0
// Where a NaN in q, k or v goes: to the results that read it and to no others, also where a row is
// so long that the cuda backend splits it over workers and merges what they found.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/kernels/attention_cases.h"

namespace suffice::testing {
namespace {

constexpr float kNan32 = std::numeric_limits<float>::quiet_NaN();

class AttendNanTest : public ::testing::TestWithParam<std::tuple<Target, DType>> {
 protected:
  DType dtype() const { return std::get<1>(GetParam()); }
  Context context_{{.backend = std::get<0>(GetParam()).backend,
                    .isa = std::get<0>(GetParam()).isa,
                    .threads = 2}};
  Context reference_{{.backend = "ref", .threads = 1}};
};

size_t At(const AttentionCase& c, int64_t tokens, int64_t head, int64_t token, int64_t d) {
  return static_cast<size_t>((head * tokens + token) * c.dim + d);
}

size_t CountNan(std::span<const float> x) {
  return static_cast<size_t>(
      std::count_if(x.begin(), x.end(), [](float value) { return std::isnan(value); }));
}

// NaN in the same places, and values that are near elsewhere.
void ExpectNear(const char* what, std::vector<float> result, std::vector<float> expected,
                double bound, double floor = 0.0) {
  SCOPED_TRACE(what);
  ASSERT_EQ(result.size(), expected.size());
  size_t misplaced = 0;
  for (size_t n = 0; n < result.size(); ++n) {
    misplaced += std::isnan(result[n]) != std::isnan(expected[n]);
    if (std::isnan(result[n]) || std::isnan(expected[n])) result[n] = expected[n] = 0.0f;
  }
  EXPECT_EQ(misplaced, 0u);
  EXPECT_LE(RelativeL2(result, expected, floor), bound);
}

// On a device the first row keeps 133 or more blocks of 64 keys, the first column as many of 64
// queries: more than the 128 that a worker takes at once. In host memory nothing is split, and less
// will do. Of the heads, one has a NaN in q, one in k, one in v.
TEST_P(AttendNanTest, GoesWhereTheReferenceSendsIt) {
  const bool narrow = dtype() == DType::kBF16;
  const bool host = context_.device().kind == DeviceKind::kHost;
  const int64_t tokens = host ? 1100 : 8500;
  for (const BlockSize block : {BlockSize{128, 64}, {64, 64}, {128, 128}}) {
    if (host && block != BlockSize{}) continue;
    const AttentionCase c{.name = "nan in long rows",
                          .batch = 1,
                          .heads = 3,
                          .kv_heads = 3,
                          .n_q = tokens,
                          .n_k = tokens,
                          .dim = 64,
                          .block = block,
                          .lists = CaseLists::kSinks};
    AttentionProblem problem = MakeProblem(c, dtype());
    problem.q[At(c, c.n_q, 0, 5, 17)] = kNan32;
    problem.k[At(c, c.n_k, 1, tokens / 2, 3)] = kNan32;
    problem.v[At(c, c.n_k, 2, tokens - 100, 40)] = kNan32;
    const AttentionResult expected = RunAttention(reference_, problem, true);
    // A query; the first block of queries; a column of that.
    const auto rows = static_cast<size_t>(block.q);
    EXPECT_EQ(CountNan(expected.lse), 1 + rows);
    EXPECT_EQ(CountNan(expected.o), 64 + 64 * rows + rows);
    const AttentionResult result = RunAttention(context_, problem, true);
    const double floor = GradientFloor(problem), bound = narrow ? 8e-3 : 2e-6;
    ExpectNear("o", result.o, expected.o, narrow ? 4e-3 : 2e-6);
    ExpectNear("lse", result.lse, expected.lse, 2e-6);
    ExpectNear("dq", result.dq, expected.dq, bound, floor);
    ExpectNear("dk", result.dk, expected.dk, bound, floor);
    ExpectNear("dv", result.dv, expected.dv, bound);
  }
}

// Key 100 holds NaN in a block that queries 64 to 127 keep. The queries before it do not see it:
// their lse has the bits that it has without, and so has o unless the NaN is in v.
TEST_P(AttendNanTest, BehindTheCausalBoundIsNotSeen) {
  for (const CaseLists lists : {CaseLists::kAll, CaseLists::kNone}) {
    const AttentionCase c{.name = "nan behind the bound",
                          .batch = 1,
                          .heads = 1,
                          .kv_heads = 1,
                          .n_q = 200,
                          .n_k = 200,
                          .dim = 64,
                          .block = {64, 64},
                          .lists = lists,
                          .causal = true};
    const int64_t key = 100;
    const AttentionProblem clean = MakeProblem(c, dtype());
    const AttentionResult expected = RunAttention(context_, clean, false);
    AttentionProblem with_k = clean, with_v = clean;
    for (int64_t d = 0; d < c.dim; ++d) {
      with_k.k[At(c, c.n_k, 0, key, d)] = kNan32;
      with_v.v[At(c, c.n_k, 0, key, d)] = kNan32;
    }
    const AttentionResult result = RunAttention(context_, with_k, false);
    const AttentionResult values = RunAttention(context_, with_v, false);
    EXPECT_EQ(values.lse, expected.lse);
    for (int64_t t = 0; t < c.n_q; ++t) {
      SCOPED_TRACE(t);
      const auto at = static_cast<size_t>(t);
      if (t < key) {
        ASSERT_EQ(result.lse[at], expected.lse[at]);
      } else {
        ASSERT_TRUE(std::isnan(result.lse[at]));
      }
      for (int64_t d = 0; d < c.dim; ++d) {
        const size_t n = At(c, c.n_q, 0, t, d);
        ASSERT_TRUE(t < key ? result.o[n] == expected.o[n] : std::isnan(result.o[n]));
        // A block that is not kept is not read; what is behind the bound in one that is, may be.
        ASSERT_TRUE(t >= 64 || values.o[n] == expected.o[n]);
        ASSERT_TRUE(t < key || std::isnan(values.o[n]));
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Targets, AttendNanTest,
                         ::testing::Combine(::testing::ValuesIn(AvailableTargets()),
                                            ::testing::Values(DType::kF32, DType::kBF16)),
                         [](const auto& test) {
                           return NameOf(std::get<0>(test.param)) + "_" +
                                  std::string(NameOf(std::get<1>(test.param)));
                         });

}  // namespace
}  // namespace suffice::testing
