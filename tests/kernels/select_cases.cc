// SPDX-License-Identifier: Apache-2.0
#include "tests/kernels/select_cases.h"

#include <gtest/gtest.h>

#include <limits>
#include <utility>

#include "lib/base/philox.h"

namespace suffice::testing {

SelectCase CaseOfManyScores(bool small) {
  SelectCase c;
  c.heads = 5;
  c.p.block = {16, 16};
  c.p.n_q = (small ? 150 : 3700) * 16;
  c.p.n_k = (small ? 200 : 4000) * 16;
  c.p.scale = 0.25f;
  c.p.rule = SelectRule::kTopK;
  c.p.setting = {10'000, 0};
  return c;
}

Selection RunSelect(Context& context, const SelectCase& c, const std::vector<float>& scores,
                    const Tensor& q, const Tensor& k) {
  const auto tensor = [&]<class T>(const std::vector<T>& values, const Shape& shape) {
    return Tensor::FromHost(context, HostArray::From<T>(shape, values));
  };
  SelectParams p = c.p;
  const Shape all = {c.batch, c.heads, c.t_q(), c.t_k()};
  const Shape other = {c.batch, c.t_q(), c.heads, c.t_k()};
  Tensor score;
  if (c.keeps_scores) {
    const std::vector<float> poison(scores.empty() ? static_cast<size_t>(c.blocks()) : 0,
                                    std::numeric_limits<float>::quiet_NaN());
    score = tensor(scores.empty() ? poison : scores, c.transposed ? other : all);
    p.scores = c.transposed ? score.view().transpose(1, 2) : score.view();
  }
  if (!q.empty()) p.q_pooled = q;
  if (!k.empty()) p.k_pooled = k;
  Tensor given, settings;
  if (!c.given.empty()) p.given = given = tensor(c.given, all);
  if (!c.settings.empty()) p.settings = settings = tensor(c.settings, {c.heads, 2});
  const auto lists = [&](int64_t rows) {
    return std::pair(
        tensor(std::vector<int64_t>(static_cast<size_t>(rows + 1), -1), {rows + 1}),
        tensor(std::vector<uint16_t>(static_cast<size_t>(c.blocks()), 0xFFFF), {c.blocks()}));
  };
  const auto [row_ptr, row_ids] = lists(c.batch * c.heads * c.t_q());
  const auto [column_ptr, column_ids] = lists(c.batch * c.heads * c.t_k());
  const Tensor nan = tensor(std::vector<int32_t>{-1}, {1});
  p.rows = {row_ptr, row_ids};
  p.columns = {column_ptr, column_ids};
  if (c.flags_nan) p.nan_flag = nan;
  context.Run(p);
  return {ToVector<int64_t>(row_ptr),
          ToVector<int64_t>(column_ptr),
          ToVector<uint16_t>(row_ids),
          ToVector<uint16_t>(column_ids),
          c.keeps_scores ? ToVector<float>(score) : std::vector<float>(),
          ToVector<int32_t>(nan)[0]};
}

Tensor Pooled(Context& context, const Shape& shape, uint32_t stream) {
  HostArray array(DType::kF32, shape);
  uint64_t i = 0;
  for (float& x : array.values<float>()) x = NormalAt(kSelectSeed, stream, i++);
  return Tensor::FromHost(context, array);
}

void ExpectSame(const Selection& a, const Selection& b) {
  EXPECT_EQ(a.row_ptr, b.row_ptr);
  EXPECT_EQ(a.row_ids, b.row_ids);
  EXPECT_EQ(a.column_ptr, b.column_ptr);
  EXPECT_EQ(a.column_ids, b.column_ids);
  EXPECT_EQ(a.nan, b.nan);
}

}  // namespace suffice::testing
