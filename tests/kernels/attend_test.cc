// SPDX-License-Identifier: Apache-2.0
// Every backend and instruction set against the reference, over the shared cases.
#include <gtest/gtest.h>

#include <cmath>

#include "tests/kernels/attention_cases.h"

namespace suffice::testing {
namespace {

struct Tolerances {
  double forward, gradient;
};
constexpr Tolerances kFp32 = {2e-6, 2e-6};
constexpr Tolerances kBf16 = {4e-3, 8e-3};

class AttendTest : public ::testing::TestWithParam<std::tuple<Target, DType>> {
 protected:
  DType dtype() const { return std::get<1>(GetParam()); }
  ContextOptions options(int threads) const {
    const Target& target = std::get<0>(GetParam());
    return {.backend = target.backend, .isa = target.isa, .threads = threads};
  }
  Context context_{options(2)};
  Context reference_{{.backend = "ref", .threads = 1}};
};

// The bound for one output: a fixed one at small input scales, twice the plain evaluation's own
// error at larger ones.
double Bound(const AttentionCase& c, double fixed, std::span<const float> plain,
             std::span<const float> expected) {
  return c.magnitude > 1.0f ? 2.0 * RelativeL2(plain, expected) : fixed;
}

TEST_P(AttendTest, ForwardAgreesWithTheReference) {
  const Tolerances tolerance = dtype() == DType::kBF16 ? kBf16 : kFp32;
  for (const AttentionCase& c : AttentionCases()) {
    SCOPED_TRACE(c.name);
    const AttentionProblem problem = MakeProblem(c, dtype());
    const AttentionResult expected = RunAttention(reference_, problem, false);
    const AttentionResult plain = c.magnitude > 1.0f ? PlainAttention(problem) : expected;
    const AttentionResult result = RunAttention(context_, problem, false);
    EXPECT_LE(RelativeL2(result.o, expected.o), Bound(c, tolerance.forward, plain.o, expected.o));
    EXPECT_LE(RelativeL2(result.lse, expected.lse), 2e-6);
  }
}

TEST_P(AttendTest, ListsOfAllBlocksGiveTheDenseBits) {
  for (const AttentionCase& c : AttentionCases()) {
    if (c.lists != CaseLists::kAll) continue;
    SCOPED_TRACE(c.name);
    AttentionCase dense = c;
    dense.lists = CaseLists::kNone;
    const AttentionResult by_lists = RunAttention(context_, MakeProblem(c, dtype()), false);
    const AttentionResult without = RunAttention(context_, MakeProblem(dense, dtype()), false);
    EXPECT_EQ(by_lists.o, without.o);
    EXPECT_EQ(by_lists.lse, without.lse);
  }
}

TEST_P(AttendTest, TheNumberOfThreadsDoesNotShow) {
  Context one(options(1));
  Context five(options(5));
  for (const AttentionCase& c : AttentionCases()) {
    SCOPED_TRACE(c.name);
    const AttentionProblem problem = MakeProblem(c, dtype());
    const AttentionResult expected = RunAttention(one, problem, false);
    for (Context* context : {&context_, &five}) {
      const AttentionResult result = RunAttention(*context, problem, false);
      EXPECT_EQ(result.o, expected.o);
      EXPECT_EQ(result.lse, expected.lse);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Targets, AttendTest,
                         ::testing::Combine(::testing::ValuesIn(AvailableTargets()),
                                            ::testing::Values(DType::kF32, DType::kBF16)),
                         [](const auto& test) {
                           return NameOf(std::get<0>(test.param)) + "_" +
                                  std::string(NameOf(std::get<1>(test.param)));
                         });

}  // namespace
}  // namespace suffice::testing
