// SPDX-License-Identifier: Apache-2.0
#include "lib/nn/attention.h"

#include "lib/nn/functions.h"
#include "tests/nn/grad_check.h"

namespace suffice {
namespace {

using testing::ExpectGradients;
using testing::RandomArray;
using Vars = std::vector<Var>;

class AttentionFunction : public ::testing::Test {
 protected:
  static constexpr int64_t kBatch = 2, kTokens = 10, kHeads = 2, kDim = 4;

  Rope MakeRope() {
    HostArray cos(DType::kF32, {kTokens, kDim / 2}), sin(DType::kF32, {kTokens, kDim / 2});
    for (size_t i = 0; i < cos.values<float>().size(); ++i) {
      const double angle = 0.3 * static_cast<double>(i);
      cos.values<float>()[i] = static_cast<float>(std::cos(angle));
      sin.values<float>()[i] = static_cast<float>(std::sin(angle));
    }
    return {Tensor::FromHost(context, cos), Tensor::FromHost(context, sin)};
  }
  // Self-attention over a fused projection (B * N, 3 * H * D), in[0]; weights in[1], in[2].
  Var Self(Tape& tape, const Vars& in, const AttentionSettings& settings,
           const AttentionObserver& observer = nullptr) {
    const std::vector<Var> qkv = tape.Split(in[0], {kHeads * kDim, kHeads * kDim, kHeads * kDim});
    const QkHeads heads =
        QkNormRope(tape, qkv[0], qkv[1], in[1], in[2], MakeRope(), kBatch, kDim, settings);
    return Attention(tape, heads, qkv[2], settings, observer);
  }
  std::vector<HostArray> Inputs() {
    return {RandomArray({kBatch * kTokens, 3 * kHeads * kDim}, 1), RandomArray({kDim}, 2),
            RandomArray({kDim}, 3)};
  }
  AttentionSettings Sparse() {
    AttentionSettings s;
    s.dense = false;
    s.block = {4, 2};
    s.rule = SelectRule::kTopK;
    s.setting = {.k_ppm = 500'000, .p_ppm = 0};
    return s;
  }
  Context context{{.backend = "ref"}};
};

TEST_F(AttentionFunction, DenseGradients) {
  ExpectGradients(
      context, Inputs(), [&](Tape& tape, const Vars& in) { return Self(tape, in, {}); }, 3e-3);
}

TEST_F(AttentionFunction, SparseGradientsHoldTheSelectionConstant) {
  ExpectGradients(
      context, Inputs(), [&](Tape& tape, const Vars& in) { return Self(tape, in, Sparse()); }, 3e-3,
      2e-3f);
}

TEST_F(AttentionFunction, CrossAttentionWithoutNorm) {
  ExpectGradients(
      context, {RandomArray({2 * 3, 8}, 1), RandomArray({2 * 5, 16}, 2)},
      [](Tape& tape, const Vars& in) {
        const std::vector<Var> kv = tape.Split(in[1], {8, 8});
        const QkHeads heads = QkNormRope(tape, in[0], kv[0], {}, {}, {}, 2, 4, {});
        return Attention(tape, heads, kv[1], {});
      },
      3e-3);
}

TEST_F(AttentionFunction, KeepingEveryBlockIsDense) {
  const std::vector<HostArray> inputs = Inputs();
  const auto run = [&](const AttentionSettings& settings) {
    Tape tape(context, Tape::Mode::kInfer);
    Vars in;
    for (const HostArray& input : inputs)
      in.push_back(tape.Constant(Tensor::FromHost(context, input)));
    return Self(tape, in, settings).value().ToHost();
  };
  AttentionSettings all = Sparse(), mixed = Sparse();
  all.rule = SelectRule::kAll;
  const HostArray dense = run({}), kept = run(all);
  mixed.rule = SelectRule::kHybrid;
  mixed.heads = {{.k_ppm = 0, .p_ppm = 1'000'000}, {.k_ppm = 300'000, .p_ppm = 1}};
  const HostArray half = run(mixed);
  for (size_t i = 0; i < dense.values<float>().size(); ++i) {
    EXPECT_NEAR(kept.values<float>()[i], dense.values<float>()[i], 1e-6);
    if (i / kDim % kHeads == 0) {  // the head with p = 1
      EXPECT_NEAR(half.values<float>()[i], dense.values<float>()[i], 1e-6);
    }
  }
  EXPECT_FALSE(std::equal(half.data(), half.data() + half.bytes(), dense.data()));
}

TEST_F(AttentionFunction, AnObserverSeesWhatIsAttended) {
  Tape tape(context, Tape::Mode::kInfer);
  Vars in;
  for (const HostArray& input : Inputs())
    in.push_back(tape.Constant(Tensor::FromHost(context, input)));
  int calls = 0;
  Self(tape, in, Sparse(), [&](const AttentionTrace& trace) {
    ++calls;
    EXPECT_EQ(trace.q.shape(), (Shape{kBatch, kHeads, kTokens, kDim}));
    EXPECT_EQ(trace.v.shape(), (Shape{kBatch, kHeads, kTokens, kDim}));
    EXPECT_EQ(trace.lse.shape(), (Shape{kBatch, kHeads, kTokens}));
    const HostArray ptr = trace.row_ptr.ToHost();
    // Half of 5 key blocks, rounded half up, in each of 2 x 2 x 3 rows.
    EXPECT_EQ(ptr.values<int64_t>().back(), kBatch * kHeads * 3 * 3);
  });
  EXPECT_EQ(calls, 1);
}

}  // namespace
}  // namespace suffice
