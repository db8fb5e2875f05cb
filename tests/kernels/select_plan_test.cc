// SPDX-License-Identifier: Apache-2.0
// How the cuda backend cuts a selection into parts. These need no GPU.
#include <gtest/gtest.h>

#include "kernels/cuda/select/plan.h"
#include "tests/kernels/select_cases.h"

namespace suffice::testing {
namespace {

// Operands of such a selection that nobody reads.
SelectParams ParamsOf(const SelectCase& c) {
  static float nothing = 0.0f;
  SelectParams p = c.p;
  p.q_pooled = ContiguousView(&nothing, DType::kF32, {c.batch, c.heads, c.t_q(), 16}, {});
  p.k_pooled = ContiguousView(&nothing, DType::kF32, {c.batch, 1, c.t_k(), 16}, {});
  return p;
}

struct Sizes {
  int64_t batch, heads, t_q, t_k;
};

TEST(SelectPlan, PartsCoverEveryRowOnceAndFitTheWorkspace) {
  void* const workspace = reinterpret_cast<void*>(uintptr_t{1} << 40);  // only counted in
  for (const Sizes& s : {Sizes{1, 5, 3700, 4000},
                         {2, 12, 4097, 4096},
                         {3, 2, 65'536, 65'536},
                         {1, 1, 1, 1},
                         {7, 3, 130, 33},
                         {1, 40, 1182, 2364}}) {
    for (const int tile_rows : {64, 128}) {
      SelectCase c;
      c.batch = s.batch;
      c.heads = s.heads;
      c.p.block = {16, 16};
      c.p.n_q = s.t_q * 16;
      c.p.n_k = s.t_k * 16;
      const cuda::SelectPlan plan(ParamsOf(c), tile_rows, 1, workspace);
      const int64_t floats = reinterpret_cast<float*>(plan.row_words) - plan.scores;
      EXPECT_LE(plan.tiles_at_once * tile_rows * plan.scores_row, cuda::kMostScores);
      int64_t row = 0;
      for (int64_t first = 0; first < plan.all_tiles(); first += plan.tiles_at_once) {
        const int64_t end = std::min(first + plan.tiles_at_once, plan.all_tiles());
        EXPECT_EQ(plan.RowOf(first), row);
        row = plan.RowOf(end);
        EXPECT_LE((row - plan.RowOf(first)) * plan.scores_row, floats);
      }
      EXPECT_EQ(row, s.batch * s.heads * s.t_q);
    }
  }
}

TEST(SelectPlan, ManyScoresAreTwoPartsOfWhichOneEndsWithinAHead) {
  const SelectCase c = CaseOfManyScores(false);
  EXPECT_GT(c.blocks(), cuda::kMostScores);
  for (const int tile_rows : {64, 128}) {
    const cuda::SelectPlan plan(ParamsOf(c), tile_rows, 1, nullptr);
    EXPECT_LT(plan.tiles_at_once, plan.all_tiles());
    EXPECT_GE(2 * plan.tiles_at_once, plan.all_tiles());
    EXPECT_NE(plan.RowOf(plan.tiles_at_once) % c.t_q(), 0);
  }
  // An operand takes all of them.
  SelectParams p = ParamsOf(c);
  p.scores = ContiguousView(p.q_pooled.data, DType::kF32, {1, c.heads, c.t_q(), c.t_k()}, {});
  const cuda::SelectPlan plan(p, 128, 1, nullptr);
  EXPECT_EQ(plan.tiles_at_once, plan.all_tiles());
  EXPECT_EQ(plan.scores_row, 0);
}

}  // namespace
}  // namespace suffice::testing
