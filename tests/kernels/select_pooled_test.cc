// SPDX-License-Identifier: Apache-2.0
// Selection from pooled q and k where its scores are more than fit at once, and where pooled rows
// hold NaN.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "lib/base/philox.h"
#include "tests/kernels/attention_cases.h"
#include "tests/kernels/select_cases.h"

namespace suffice::testing {
namespace {

constexpr float kNotANumber = std::numeric_limits<float>::quiet_NaN();

class SelectPooledTest : public ::testing::TestWithParam<Target> {
 protected:
  Context context_{{.backend = GetParam().backend, .isa = GetParam().isa, .threads = 2}};
  Context reference_{{.backend = "ref", .threads = 1}};
};

// Scores that are an operand are all made at once. Backends in host memory have no such limit, and
// are given fewer blocks.
TEST_P(SelectPooledTest, KeepsTheSameBlocksInOnePartAndInSeveral) {
  SelectCase c = CaseOfManyScores(context_.device().kind == DeviceKind::kHost);
  const int64_t dim = 16;
  HostArray q_values(DType::kF32, {1, c.heads, c.t_q(), dim});
  for (size_t n = 0; n < q_values.values<float>().size(); ++n) {
    q_values.values<float>()[n] = NormalAt(kSelectSeed, 7, n);
  }
  q_values.values<float>()[3 * 16 + 5] = kNotANumber;  // seen in the first part alone
  const Tensor q = Tensor::FromHost(context_, q_values);
  const Tensor k = Pooled(context_, {1, 1, c.t_k(), dim}, 8);
  const Selection at_once = RunSelect(context_, c, {}, q, k);
  c.keeps_scores = false;
  const Selection by_parts = RunSelect(context_, c, {}, q, k);
  ExpectSame(by_parts, at_once);
  EXPECT_EQ(by_parts.nan, 1);
  // One block in a hundred of every row, in both.
  const int64_t kept = (c.t_k() + 50) / 100;
  for (size_t row = 0; row < by_parts.row_ptr.size(); ++row) {
    ASSERT_EQ(by_parts.row_ptr[row], static_cast<int64_t>(row) * kept);
  }
}

// The means of blocks of normal values, of which a few tokens of head 1 hold a NaN.
Tensor PooledWithNan(Context& context, const Shape& shape, int block, uint32_t stream,
                     std::initializer_list<int64_t> tokens) {
  HostArray values(DType::kF32, shape);
  for (size_t n = 0; n < values.values<float>().size(); ++n) {
    values.values<float>()[n] = NormalAt(kSelectSeed, stream, n);
  }
  for (const int64_t token : tokens) {
    values.values<float>()[static_cast<size_t>((shape[2] + token) * shape[3] + 2)] = kNotANumber;
  }
  const Tensor x = Tensor::FromHost(context, values);
  const Tensor means(context, DType::kF32,
                     {shape[0], shape[1], BlockCount(shape[2], block), shape[3]});
  context.Run(PoolParams{x, means, block});
  return means;
}

// NaN in two tokens of q and one of k: in the means of their blocks, in the scores of those, and
// nowhere else.
TEST_P(SelectPooledTest, NanStaysInTheRowsThatHoldIt) {
  for (const int64_t dim : {5, 64, 128, 200}) {
    SelectCase c;
    c.heads = 4;
    c.p.block = {16, 16};
    c.p.n_q = 150 * 16;
    c.p.n_k = 203 * 16 - 7;
    c.p.scale = 1.0f / std::sqrt(static_cast<float>(dim));
    c.p.setting = {50'000, 300'000};
    // Blocks 40 and 149 of query head 1; block 202, a partial one, of key head 1.
    const auto queries = [&](Context& context) {
      return PooledWithNan(context, {1, c.heads, c.p.n_q, dim}, 16, 40,
                           {40 * 16 + 3, 150 * 16 - 1});
    };
    const auto keys = [&](Context& context) {
      return PooledWithNan(context, {1, 2, c.p.n_k, dim}, 16, 41, {c.p.n_k - 1});
    };
    const Tensor q = queries(context_), k = keys(context_);
    const std::vector<float> expected =
        RunSelect(reference_, c, {}, queries(reference_), keys(reference_)).scores;
    for (const SelectRule rule : {SelectRule::kHybrid, SelectRule::kTopK, SelectRule::kTopP,
                                  SelectRule::kMask, SelectRule::kAll}) {
      c.p.rule = rule;
      c.given.clear();
      for (int64_t n = 0; rule == SelectRule::kMask && n < c.blocks(); ++n) {
        c.given.push_back(n % 5 == 0);
      }
      const Selection result = RunSelect(context_, c, {}, q, k);
      // The lists are those of the backend's own scores.
      ExpectSame(result, RunSelect(reference_, c, result.scores));
      EXPECT_EQ(result.nan, 1);
      int64_t nan_scores = 0, misplaced = 0;
      std::vector<float> found, wanted;
      for (size_t n = 0; n < result.scores.size(); ++n) {
        const bool is_nan = std::isnan(result.scores[n]);
        nan_scores += is_nan;
        misplaced += is_nan != std::isnan(expected[n]);
        if (is_nan || std::isnan(expected[n])) continue;
        found.push_back(result.scores[n]);
        wanted.push_back(expected[n]);
      }
      EXPECT_EQ(nan_scores, 2 * c.t_k() + 2 * c.t_q());  // heads 2 and 3 read key head 1
      EXPECT_EQ(misplaced, 0);
      EXPECT_LE(RelativeL2(found, wanted), 5e-7);
      if (rule != SelectRule::kTopK) continue;
      // A row of nothing but NaN keeps its first blocks, as many as any other row.
      const auto row = static_cast<size_t>(c.t_q() + 40);
      ASSERT_EQ(result.row_ptr[row + 1] - result.row_ptr[row], 10);
      for (int64_t n = 0; n < 10; ++n) {
        EXPECT_EQ(result.row_ids[static_cast<size_t>(result.row_ptr[row] + n)], n);
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Targets, SelectPooledTest, ::testing::ValuesIn(AvailableTargets()),
                         [](const auto& test) { return NameOf(test.param); });

}  // namespace
}  // namespace suffice::testing
