// SPDX-License-Identifier: Apache-2.0
// Pool and select on every backend and instruction set: exactly the reference's blocks from the
// same scores, the transpose of them, and scores near the reference's.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <utility>

#include "lib/base/philox.h"
#include "tests/kernels/attention_cases.h"
#include "tests/kernels/select_cases.h"

namespace suffice::testing {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();

// The transpose of the row lists of `rows` x `columns` blocks a head, the slow way.
void ExpectTransposed(const Selection& s, int64_t heads, int64_t rows, int64_t columns) {
  std::vector<int64_t> ptr = {0};
  std::vector<uint16_t> ids;
  for (int64_t head = 0; head < heads; ++head) {
    for (int64_t j = 0; j < columns; ++j) {
      for (int64_t i = 0; i < rows; ++i) {
        const auto row = static_cast<size_t>(head * rows + i);
        for (int64_t n = s.row_ptr[row]; n < s.row_ptr[row + 1]; ++n) {
          if (s.row_ids[static_cast<size_t>(n)] == j) ids.push_back(static_cast<uint16_t>(i));
        }
      }
      ptr.push_back(static_cast<int64_t>(ids.size()));
    }
  }
  ids.resize(s.column_ids.size(), 0xFFFF);
  EXPECT_EQ(s.column_ptr, ptr);
  EXPECT_EQ(s.column_ids, ids);
}

// Kinds of score rows; each has its own way of going wrong.
enum class Scores { kNormal, kSpread, kFlat, kFewValues, kSigns, kSpecial, kAllNan };
constexpr Scores kScores[] = {Scores::kNormal, Scores::kSpread,  Scores::kFlat,  Scores::kFewValues,
                              Scores::kSigns,  Scores::kSpecial, Scores::kAllNan};

std::vector<float> MakeScores(Scores kind, int64_t count) {
  std::vector<float> scores;
  for (uint64_t i = 0; i < static_cast<uint64_t>(count); ++i) {
    const float x = NormalAt(kSelectSeed, 0, i);
    const uint32_t bits = Philox(kSelectSeed, 1, i)[0];
    switch (kind) {
      case Scores::kNormal:
        scores.push_back(x);
        break;
      case Scores::kSpread:
        scores.push_back(40.0f * x);
        break;  // weights that underflow
      case Scores::kFlat:
        scores.push_back(3.25f);
        break;
      case Scores::kFewValues:
        scores.push_back(static_cast<float>(bits % 3));
        break;
      case Scores::kSigns:
        scores.push_back(bits % 4 == 0 ? x : bits % 2 == 0 ? 0.0f : -0.0f);
        break;
      case Scores::kSpecial:
        scores.push_back(bits % 9 == 0 ? kNan : bits % 9 == 1 ? -kInf : bits % 31 == 2 ? kInf : x);
        break;
      case Scores::kAllNan:
        scores.push_back(bits % 2 == 0 ? kNan : -kNan);
        break;
    }
  }
  return scores;
}

class SelectTest : public ::testing::TestWithParam<Target> {
 protected:
  ContextOptions options(int threads) const {
    return {.backend = GetParam().backend, .isa = GetParam().isa, .threads = threads};
  }
  Context context_{options(2)};
  Context reference_{{.backend = "ref", .threads = 1}};
};

TEST_P(SelectTest, KeepsExactlyTheReferencesBlocksOfTheSameScores) {
  for (const Scores kind : kScores) {
    for (const SelectRule rule : {SelectRule::kHybrid, SelectRule::kTopK, SelectRule::kTopP,
                                  SelectRule::kMask, SelectRule::kAll}) {
      for (const SelectSetting setting :
           {SelectSetting{0, 1}, SelectSetting{30'000, 200'000}, SelectSetting{50'000, 950'000},
            SelectSetting{500'000, 500'000}, SelectSetting{1'000'000, 1'000'000}}) {
        SelectCase c;
        c.p.n_q = 1700;
        c.p.n_k = 9000;  // 141 blocks: not a multiple of any vector
        c.p.rule = rule;
        c.p.setting = setting;
        if (rule == SelectRule::kMask) {
          for (int64_t i = 0; i < c.blocks(); ++i) {
            c.given.push_back(
                static_cast<uint8_t>(Philox(kSelectSeed, 2, static_cast<uint64_t>(i))[0] % 3));
          }
        }
        const std::vector<float> scores = MakeScores(kind, c.blocks());
        const Selection expected = RunSelect(reference_, c, scores);
        const Selection result = RunSelect(context_, c, scores);
        ExpectSame(result, expected);
        ExpectTransposed(expected, c.batch * c.heads, c.t_q(), c.t_k());
        EXPECT_EQ(expected.nan, kind == Scores::kSpecial || kind == Scores::kAllNan ? 1 : 0);
      }
    }
  }
}

TEST_P(SelectTest, HonoursCausalityPinsWindowsAndHeadSettings) {
  for (const bool causal : {false, true}) {
    for (const auto& [n_q, n_k] :
         {std::pair<int64_t, int64_t>{1000, 1000}, {300, 1000}, {1000, 300}}) {
      for (const int64_t window : {int64_t{-1}, int64_t{0}, int64_t{100}}) {
        SelectCase c;
        c.batch = 2;
        c.heads = 3;
        c.p.n_q = n_q;
        c.p.n_k = n_k;
        c.p.block = {64, 64};
        c.p.mask.causal = causal;
        c.p.window = window;
        c.p.pin_begin = 130;
        c.p.pin_end = 200;
        c.settings = {100'000, 300'000, 0, 1, 2'000'000, -5};  // the last is clamped
        const std::vector<float> scores = MakeScores(Scores::kNormal, c.blocks());
        const Selection expected = RunSelect(reference_, c, scores);
        const Selection result = RunSelect(context_, c, scores);
        ExpectSame(result, expected);
        EXPECT_EQ(result.scores, expected.scores);  // -inf where not allowed
      }
    }
  }
}

TEST_P(SelectTest, ScoresAreTheScaledProductsOfThePooledBlocks) {
  SelectCase c;
  c.batch = 2;
  c.heads = 4;
  c.p.n_q = 1000;
  c.p.n_k = 5000;
  c.p.scale = 0.25f;
  c.p.setting = {30'000, 200'000};
  const int64_t dim = 40;
  const auto run = [&](Context& context) {
    return RunSelect(context, c, {}, Pooled(context, {c.batch, c.heads, c.t_q(), dim}, 7),
                     Pooled(context, {c.batch, 2, c.t_k(), dim}, 8));
  };
  const Selection expected = run(reference_);
  const Selection result = run(context_);
  EXPECT_LE(RelativeL2(result.scores, expected.scores), 5e-7);
  // The lists are those of the backend's own scores, and do not depend on the threads.
  ExpectSame(result, RunSelect(reference_, c, result.scores));
  Context five(options(5));
  const Selection again = run(five);
  ExpectSame(again, result);
  EXPECT_EQ(again.scores, result.scores);
}

TEST_P(SelectTest, KeepsTheReferencesBlocksOfLongRows) {
  for (const int64_t t_k : {250, 300, 700, 1182, 2500, 5000}) {
    for (const Scores kind : {Scores::kNormal, Scores::kSpread, Scores::kFewValues,
                              Scores::kSpecial, Scores::kAllNan}) {
      for (const SelectRule rule : {SelectRule::kHybrid, SelectRule::kTopK, SelectRule::kTopP,
                                    SelectRule::kMask, SelectRule::kAll}) {
        for (const bool causal : {false, true}) {
          SelectCase c;
          c.p.n_q = 200;  // two rows
          c.p.n_k = t_k * 64 - 5;
          c.p.block = {100, 64};
          c.p.mask.causal = causal;
          c.p.rule = rule;
          c.p.window = 70;
          c.settings = {30'000, 200'000, 600'000, 999'999};
          c.transposed = causal;
          if (rule == SelectRule::kMask) {
            for (int64_t i = 0; i < c.blocks(); ++i) {
              c.given.push_back(static_cast<uint8_t>(i % 7 == 0 || i % 3000 < 900));
            }
          }
          const std::vector<float> scores = MakeScores(kind, c.blocks());
          const Selection expected = RunSelect(reference_, c, scores);
          const Selection result = RunSelect(context_, c, scores);
          ExpectSame(result, expected);
          if (kind != Scores::kNormal) continue;
          EXPECT_EQ(result.scores, expected.scores);
        }
      }
    }
  }
}

TEST_P(SelectTest, ListsManyRowsTheSameWayEveryTime) {
  SelectCase c;
  c.batch = 2;
  c.heads = 12;
  c.p.n_q = 64'000;  // 24,000 rows of 33 blocks
  c.p.n_k = 33 * 64;
  c.p.block = {64, 64};
  c.p.setting = {100'000, 100'000};
  const std::vector<float> scores = MakeScores(Scores::kNormal, c.blocks());
  const Selection expected = RunSelect(reference_, c, scores);
  for (int run = 0; run < 3; ++run) ExpectSame(RunSelect(context_, c, scores), expected);
}

TEST_P(SelectTest, ListsColumnsAndRowsThatHoldNothing) {
  SelectCase c;
  c.batch = 2;
  c.p.n_q = 5000;  // 40 x 79 blocks
  c.p.n_k = 5000;
  c.p.rule = SelectRule::kMask;
  for (int64_t i = 0; i < c.blocks(); ++i) {
    const int64_t row = i / c.t_k(), column = i % c.t_k();
    c.given.push_back(row % 5 == 3 || row < 33 || column % 4 != 1 || column > 64 ? 0 : 200);
  }
  const std::vector<float> scores = MakeScores(Scores::kNormal, c.blocks());
  const Selection result = RunSelect(context_, c, scores);
  ExpectSame(result, RunSelect(reference_, c, scores));
  ExpectTransposed(result, c.batch * c.heads, c.t_q(), c.t_k());
  c.given.assign(c.given.size(), 0);
  ExpectSame(RunSelect(context_, c, scores), RunSelect(reference_, c, scores));
}

TEST_P(SelectTest, ScoresOfAnyHeadDimension) {
  for (const int64_t dim : {5, 64, 100, 128, 200, 256}) {
    for (const bool causal : {false, true}) {
      SelectCase c;
      c.heads = 6;
      c.p.n_q = 150 * 32;
      c.p.n_k = 203 * 32;
      c.p.block = {32, 32};
      c.p.mask.causal = causal;
      c.p.scale = 1.0f / std::sqrt(static_cast<float>(dim));
      c.p.setting = {50'000, 100'000};
      c.transposed = causal;
      // The second one begins off any alignment where its rows have an odd length.
      const auto run = [&](Context& context) {
        const Tensor q = Pooled(context, {1, 7, c.t_q(), dim}, 7);
        const Tensor k = Pooled(context, {1, 3, c.t_k() + 1, dim}, 8);
        return RunSelect(context, c, {}, q.Slice(1, 1, 7), k.Slice(2, 1, c.t_k() + 1));
      };
      const Selection expected = run(reference_);
      const Selection result = run(context_);
      EXPECT_LE(RelativeL2(result.scores, expected.scores), 5e-7) << dim;
      ExpectSame(result, RunSelect(reference_, c, result.scores));
      // Nobody has to ask for the scores.
      c.keeps_scores = c.flags_nan = false;
      Selection quiet = run(context_);
      quiet.nan = result.nan;
      ExpectSame(quiet, result);
    }
  }
}

TEST_P(SelectTest, ScoresOfManyBlocks) {
  for (const auto& [causal, dim] : {std::pair{false, int64_t{72}}, {true, 72}, {false, 40}}) {
    SelectCase c;
    c.heads = 16;
    c.p.n_q = 257 * 16;
    c.p.n_k = 700 * 16;
    c.p.block = {16, 16};
    c.p.mask.causal = causal;
    c.p.scale = 0.1f;
    c.p.setting = {50'000, 100'000};
    // Rows that fp16 has no range for: of head 3, and of the key head that heads 4 to 7 share.
    const int64_t small_q = 3 * 257 + 200, small_k = 700 + 150;
    const auto rows_of = [&](Context& context, const Shape& shape, int64_t small, uint32_t stream) {
      HostArray x(DType::kF32, shape);
      for (size_t n = 0; n < x.values<float>().size(); ++n) {
        const float factor = static_cast<int64_t>(n) / dim == small ? 1e-25f : 1.0f;
        x.values<float>()[n] = factor * NormalAt(kSelectSeed, stream, n);
      }
      return Tensor::FromHost(context, x);
    };
    const auto run = [&](Context& context) {
      return RunSelect(context, c, {}, rows_of(context, {1, c.heads, c.t_q(), dim}, small_q, 30),
                       rows_of(context, {1, 4, c.t_k(), dim}, small_k, 31));
    };
    const Selection expected = run(reference_);
    const Selection result = run(context_);
    EXPECT_LE(RelativeL2(result.scores, expected.scores), 5e-7);
    const auto expect_small = [&](int64_t n) {
      const float wanted = expected.scores[static_cast<size_t>(n)];
      if (std::isinf(wanted)) return;  // not allowed
      EXPECT_NEAR(result.scores[static_cast<size_t>(n)], wanted, 1e-30f) << n;
    };
    for (int64_t j = 0; j < c.t_k(); ++j) expect_small(small_q * c.t_k() + j);
    for (int64_t i = 4 * 257; i < 8 * 257; ++i) expect_small(i * c.t_k() + small_k % 700);
    ExpectSame(result, RunSelect(reference_, c, result.scores));
  }
}

TEST_P(SelectTest, ScoresOfExtremeBlocks) {
  SelectCase c;
  c.p.n_q = 20 * 64;
  c.p.n_k = 40 * 64;
  c.p.block = {64, 64};
  c.p.scale = 0.125f;
  c.p.rule = SelectRule::kTopK;
  const int64_t dim = 24;
  // Factors of blocks: what fp16 has no range for, zeros, and one infinite value.
  const auto q_factor = [](int64_t i) {
    return i == 3 ? 1e25f : i == 4 ? 1e-25f : i == 5 ? 0.f : 1.f;
  };
  const auto k_factor = [](int64_t j) { return j == 7 ? 1e12f : j == 8 ? 1e-30f : 1.0f; };
  const auto run = [&](Context& context) {
    HostArray q(DType::kF32, {1, 2, c.t_q(), dim}), k(DType::kF32, {1, 1, c.t_k(), dim});
    for (size_t n = 0; n < q.values<float>().size(); ++n) {
      q.values<float>()[n] =
          q_factor(static_cast<int64_t>(n) / dim % c.t_q()) * NormalAt(kSelectSeed, 20, n);
    }
    for (size_t n = 0; n < k.values<float>().size(); ++n) {
      k.values<float>()[n] = k_factor(static_cast<int64_t>(n) / dim) * NormalAt(kSelectSeed, 21, n);
    }
    q.values<float>()[11 * 24 + 5] = kInf;
    return RunSelect(context, c, {}, Tensor::FromHost(context, q), Tensor::FromHost(context, k));
  };
  const Selection expected = run(reference_);
  const Selection result = run(context_);
  EXPECT_EQ(result.nan, 0);
  for (int64_t n = 0; n < c.blocks(); ++n) {
    const float found = result.scores[static_cast<size_t>(n)];
    const float wanted = expected.scores[static_cast<size_t>(n)];
    const float factor = q_factor(n / c.t_k() % c.t_q()) * k_factor(n % c.t_k());
    if (std::isinf(wanted)) {
      EXPECT_EQ(found, wanted);
    } else {
      EXPECT_NEAR(found, wanted, 1e-5f * factor) << n;
    }
  }
}

TEST_P(SelectTest, PoolsToTheReferencesBits) {
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    for (const int64_t dim : {int64_t{5}, int64_t{8}, int64_t{40}, int64_t{128}, int64_t{256}}) {
      for (const int block : {64, 128}) {
        const auto run = [&](Context& context) {
          HostArray array(DType::kF32, {2, 300, 3, dim});  // (B, N, H, D) in memory
          uint64_t i = 0;
          for (float& x : array.values<float>()) x = NormalAt(kSelectSeed, 9, i++);
          const Tensor x = Tensor::FromHost(context, array.Cast(dtype));
          const Tensor pooled(context, DType::kF32, {2, 3, BlockCount(300, block), dim});
          PoolParams p;
          p.x = x.Transpose(1, 2);
          p.pooled = pooled;
          p.block = block;
          context.Run(p);
          return ToVector<float>(pooled);
        };
        EXPECT_EQ(run(context_), run(reference_));
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Targets, SelectTest, ::testing::ValuesIn(AvailableTargets()),
                         [](const auto& test) { return NameOf(test.param); });

TEST(AttentionCheck, NamesWhatIsWrong) {
  Context context({.backend = "ref", .threads = 1});
  const Tensor x = Tensor::Zeros(context, DType::kF32, {1, 4, 10, 8});
  const Tensor other = Tensor::Zeros(context, DType::kBF16, {1, 4, 10, 8});
  AttendParams p;
  p.q = p.k = p.v = p.o = x;
  p.scale = 1.0f;
  EXPECT_TRUE(context.Supports(p));
  const auto reason = [&](const AttendParams& changed) {
    return context.backend().attend.supports(context, changed).value_or("");
  };
  AttendParams changed = p;
  changed.scale = 0.0f;
  EXPECT_EQ(reason(changed), "scale: 0, wanted a positive number");
  changed = p;
  changed.v = other;
  EXPECT_EQ(reason(changed), "v: type bf16, wanted f32");
  changed = p;
  changed.k = changed.v = x.Slice(1, 0, 3);
  EXPECT_EQ(reason(changed), "k: shape (1, 3, 10, 8) does not go with q's (1, 4, 10, 8)");
  changed = p;
  changed.q = x.Transpose(2, 3);
  EXPECT_EQ(reason(changed), "q: stride 8 of the last dimension, wanted 1");
  changed = p;
  changed.rows.ptr = x;
  EXPECT_EQ(reason(changed), "rows: type f32, wanted i64");
  SelectParams select;
  select.n_q = select.n_k = 128;
  select.scores = Tensor::Zeros(context, DType::kF32, {1, 1, 1, 2});
  EXPECT_EQ(context.backend().select.supports(context, select).value_or(""),
            "p: 0 parts per million, wanted 1 to 1000000");
}

}  // namespace
}  // namespace suffice::testing
