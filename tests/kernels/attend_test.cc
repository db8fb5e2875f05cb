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

TEST_P(AttendTest, BackwardAgreesWithTheReference) {
  const Tolerances tolerance = dtype() == DType::kBF16 ? kBf16 : kFp32;
  for (const AttentionCase& c : AttentionCases()) {
    SCOPED_TRACE(c.name);
    const AttentionProblem problem = MakeProblem(c, dtype());
    const AttentionResult expected = RunAttention(reference_, problem, true);
    const AttentionResult plain = c.magnitude > 1.0f ? PlainAttention(problem) : expected;
    const AttentionResult result = RunAttention(context_, problem, true);
    const double fixed = tolerance.gradient;
    const double floor = GradientFloor(problem);
    EXPECT_LE(RelativeL2(result.dq, expected.dq, floor), Bound(c, fixed, plain.dq, expected.dq));
    EXPECT_LE(RelativeL2(result.dk, expected.dk, floor), Bound(c, fixed, plain.dk, expected.dk));
    EXPECT_LE(RelativeL2(result.dv, expected.dv), Bound(c, fixed, plain.dv, expected.dv));
  }
}

TEST_P(AttendTest, ListsOfAllBlocksGiveTheDenseBits) {
  for (const AttentionCase& c : AttentionCases()) {
    if (c.lists != CaseLists::kAll) continue;
    SCOPED_TRACE(c.name);
    AttentionCase dense = c;
    dense.lists = CaseLists::kNone;
    const AttentionResult by_lists = RunAttention(context_, MakeProblem(c, dtype()), true);
    const AttentionResult without = RunAttention(context_, MakeProblem(dense, dtype()), true);
    EXPECT_EQ(by_lists.o, without.o);
    EXPECT_EQ(by_lists.lse, without.lse);
    EXPECT_EQ(by_lists.dq, without.dq);
    EXPECT_EQ(by_lists.dk, without.dk);
    EXPECT_EQ(by_lists.dv, without.dv);
  }
}

TEST_P(AttendTest, TheNumberOfThreadsDoesNotShow) {
  Context one(options(1));
  Context five(options(5));
  for (const AttentionCase& c : AttentionCases()) {
    SCOPED_TRACE(c.name);
    const AttentionProblem problem = MakeProblem(c, dtype());
    const AttentionResult expected = RunAttention(one, problem, true);
    for (Context* context : {&context_, &five}) {
      const AttentionResult result = RunAttention(*context, problem, true);
      EXPECT_EQ(result.o, expected.o);
      EXPECT_EQ(result.lse, expected.lse);
      EXPECT_EQ(result.dq, expected.dq);
      EXPECT_EQ(result.dk, expected.dk);
      EXPECT_EQ(result.dv, expected.dv);
    }
  }
}

// Packing holds one key head at a time: beside its operands, the forward pass needs at most the
// size of one head's k and v and 64 MiB.
TEST_P(AttendTest, TheForwardWorkspaceIsThatOfOneHead) {
  Context context(options(16));
  AttendParams p;
  char nothing = 0;
  const Shape shape = {1, 12, 32760, 128};
  p.q = p.k = p.v = p.o = ContiguousView(&nothing, dtype(), shape, context.device());
  p.scale = 1.0f;
  const size_t head = 2 * 32760 * 128 * SizeOf(dtype());
  EXPECT_LE(context.backend().attend.workspace_bytes(context, p), head + (size_t{64} << 20));
}

TEST_P(AttendTest, FullLseAgreesWithTheReference) {
  const int64_t row_ids[] = {0, 131, 77, 5, 5, 199, 42};
  for (const bool causal : {false, true}) {
    for (const bool chosen : {false, true}) {
      for (const int64_t n_k : {int64_t{150}, int64_t{300}}) {
        for (const int64_t dim : {int64_t{33}, int64_t{64}}) {
          const AttentionCase c{.name = "lse",
                                .batch = 2,
                                .heads = 4,
                                .kv_heads = 2,
                                .n_q = 200,
                                .n_k = n_k,
                                .dim = dim,
                                .block = {64, 64},
                                .lists = CaseLists::kAll};
          const AttentionProblem problem = MakeProblem(c, dtype());
          const auto run = [&](Context& context) {
            const auto tensor = [&](std::span<const float> x, int64_t heads, int64_t tokens) {
              const Shape shape = {c.batch, heads, tokens, c.dim};
              return Tensor::FromHost(context, HostArray::From<float>(shape, x).Cast(dtype()));
            };
            const Tensor q = tensor(problem.q, c.heads, c.n_q);
            const Tensor k = tensor(problem.k, c.kv_heads, c.n_k);
            const Tensor ids = Tensor::FromHost(context, HostArray::From<int64_t>({7}, row_ids));
            const Tensor lse(context, DType::kF32, {c.batch, c.heads, chosen ? 7 : c.n_q});
            FullLseParams p;
            p.q = q;
            p.k = k;
            if (chosen) p.row_ids = ids;
            p.lse_full = lse;
            p.scale = problem.scale;
            p.mask.causal = causal;
            context.Run(p);
            const HostArray host = lse.ToHost();
            return std::vector<float>(host.values<float>().begin(), host.values<float>().end());
          };
          EXPECT_LE(RelativeL2(run(context_), run(reference_)), 2e-6)
              << causal << chosen << " " << n_k << " " << dim;
        }
      }
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
