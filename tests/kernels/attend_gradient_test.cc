// SPDX-License-Identifier: Apache-2.0
// The reference itself, against the definition: its outputs against softmax in double, its
// gradients against central differences in double of sum(d_o * o).
#include <gtest/gtest.h>

#include <cmath>

#include "tests/kernels/attention_cases.h"

namespace suffice::testing {
namespace {

using Doubles = std::vector<double>;

struct DoubleInputs {
  Doubles q, k, v;
};

// o of step 4 for real inputs, and lse.
std::pair<Doubles, Doubles> Define(const AttentionProblem& problem, const DoubleInputs& in) {
  const AttentionCase& c = problem.shape;
  Doubles o(in.q.size(), 0.0);
  Doubles lse;
  for (int64_t row = 0; row < c.batch * c.heads * c.n_q; ++row) {
    const int64_t head = row / c.n_q;
    const int64_t t = row % c.n_q;
    const int64_t key_head = head / (c.heads / c.kv_heads);
    double total = 0.0;
    for (int64_t key = 0; key < c.n_k; ++key) {
      if (!problem.mask.kept(head, t / c.block.q, key / c.block.k) || !problem.sees(t, key))
        continue;
      const auto at = static_cast<size_t>((key_head * c.n_k + key) * c.dim);
      double s = 0.0;
      for (size_t d = 0; d < static_cast<size_t>(c.dim); ++d) {
        s += in.q[static_cast<size_t>(row * c.dim) + d] * in.k[at + d];
      }
      const double p = std::exp(s * double{problem.scale});
      total += p;
      for (size_t d = 0; d < static_cast<size_t>(c.dim); ++d) {
        o[static_cast<size_t>(row * c.dim) + d] += p * in.v[at + d];
      }
    }
    lse.push_back(std::log(total));
    for (size_t d = 0; d < static_cast<size_t>(c.dim) && total > 0.0; ++d) {
      o[static_cast<size_t>(row * c.dim) + d] /= total;
    }
  }
  return {o, lse};
}

double Loss(const AttentionProblem& problem, const DoubleInputs& in) {
  const Doubles o = Define(problem, in).first;
  double loss = 0.0;
  for (size_t i = 0; i < o.size(); ++i) loss += o[i] * double{problem.d_o[i]};
  return loss;
}

std::vector<float> Differences(const AttentionProblem& problem, DoubleInputs in,
                               Doubles DoubleInputs::*x) {
  constexpr double kStep = 1e-5;
  std::vector<float> gradient;
  for (double& value : in.*x) {
    const double kept = value;
    value = kept + kStep;
    const double above = Loss(problem, in);
    value = kept - kStep;
    const double below = Loss(problem, in);
    value = kept;
    gradient.push_back(static_cast<float>((above - below) / (2 * kStep)));
  }
  return gradient;
}

std::vector<float> Narrow(const Doubles& x) { return {x.begin(), x.end()}; }

TEST(AttendReference, FollowsTheDefinitionAndItsGradients) {
  constexpr CaseLists kLists[] = {CaseLists::kNone, CaseLists::kHoles};
  Context context({.backend = "ref", .threads = 1});
  for (const CaseLists lists : kLists) {
    for (const bool causal : {false, true}) {
      const AttentionCase c{.name = "tiny",
                            .batch = 2,
                            .heads = 4,
                            .kv_heads = 2,
                            .n_q = 11,
                            .n_k = 14,
                            .dim = 6,
                            .block = {4, 4},
                            .lists = lists,
                            .causal = causal};
      AttentionProblem problem = MakeProblem(c, DType::kF32);
      for (float& x : problem.k) x = std::isnan(x) ? 0.0f : x;
      for (float& x : problem.v) x = std::isnan(x) ? 0.0f : x;
      const DoubleInputs in = {{problem.q.begin(), problem.q.end()},
                               {problem.k.begin(), problem.k.end()},
                               {problem.v.begin(), problem.v.end()}};
      const auto [o, lse] = Define(problem, in);
      const AttentionResult result = RunAttention(context, problem, true);
      EXPECT_LE(RelativeL2(result.o, Narrow(o)), 1e-7);
      EXPECT_LE(RelativeL2(result.lse, Narrow(lse)), 1e-7);
      EXPECT_LE(RelativeL2(result.dq, Differences(problem, in, &DoubleInputs::q)), 1e-7);
      EXPECT_LE(RelativeL2(result.dk, Differences(problem, in, &DoubleInputs::k)), 1e-7);
      EXPECT_LE(RelativeL2(result.dv, Differences(problem, in, &DoubleInputs::v)), 1e-7);
    }
  }
}

TEST(AttendReference, AgreesWithThePlainEvaluationOnEveryCase) {
  Context context({.backend = "ref", .threads = 1});
  for (const AttentionCase& c : AttentionCases()) {
    SCOPED_TRACE(c.name);
    if (c.magnitude > 1.0f) continue;
    const AttentionProblem problem = MakeProblem(c, DType::kF32);
    const AttentionResult expected = PlainAttention(problem);
    const AttentionResult result = RunAttention(context, problem, true);
    EXPECT_LE(RelativeL2(result.o, expected.o), 2e-6);
    EXPECT_LE(RelativeL2(result.lse, expected.lse), 2e-6);
    EXPECT_LE(RelativeL2(result.dq, expected.dq), 4e-6);
    EXPECT_LE(RelativeL2(result.dk, expected.dk), 4e-6);
    EXPECT_LE(RelativeL2(result.dv, expected.dv), 4e-6);
  }
}

}  // namespace
}  // namespace suffice::testing
