// SPDX-License-Identifier: Apache-2.0
#include "lib/nn/functions.h"

#include "tests/nn/grad_check.h"

namespace suffice {
namespace {

using testing::ExpectGradients;
using testing::RandomArray;
using Vars = std::vector<Var>;

class Functions : public ::testing::Test {
 protected:
  Context context{{.backend = "ref"}};
};

TEST_F(Functions, Linear) {
  for (const Activation activation :
       {Activation::kNone, Activation::kGeluTanh, Activation::kSilu}) {
    ExpectGradients(
        context, {RandomArray({4, 3}, 1), RandomArray({5, 3}, 2), RandomArray({5}, 3)},
        [&](Tape& tape, const Vars& in) { return Linear(tape, in[0], in[1], in[2], activation); });
  }
}

TEST_F(Functions, LinearGateResidual) {
  ExpectGradients(context,
                  {RandomArray({4, 3}, 1), RandomArray({5, 3}, 2), RandomArray({5}, 3),
                   RandomArray({2, 5}, 4), RandomArray({4, 5}, 5)},
                  [](Tape& tape, const Vars& in) {
                    return LinearGateResidual(tape, in[0], in[1], in[2], in[3], in[4]);
                  });
  ExpectGradients(context, {RandomArray({4, 3}, 1), RandomArray({5, 3}, 2), RandomArray({4, 5}, 5)},
                  [](Tape& tape, const Vars& in) {
                    return LinearGateResidual(tape, in[0], in[1], {}, {}, in[2]);
                  });
}

TEST_F(Functions, NormModulate) {
  ExpectGradients(
      context, {RandomArray({6, 8}, 1), RandomArray({2, 8}, 2), RandomArray({2, 8}, 3)},
      [](Tape& tape, const Vars& in) { return NormModulate(tape, in[0], in[1], in[2]); });
  ExpectGradients(context, {RandomArray({3, 8}, 1)},
                  [](Tape& tape, const Vars& in) { return NormModulate(tape, in[0], {}, {}); });
}

TEST_F(Functions, SiluAddEmbed) {
  ExpectGradients(context, {RandomArray({3, 4}, 1), RandomArray({3, 4}, 2)},
                  [](Tape& tape, const Vars& in) { return Silu(tape, Add(tape, in[0], in[1])); });
  const Tensor ids = Tensor::FromHost(context, HostArray::From<int32_t>({4}, {{2, 0, 2, 1}}));
  ExpectGradients(context, {RandomArray({3, 5}, 1)},
                  [&](Tape& tape, const Vars& in) { return Embed(tape, in[0], ids); });
}

// A value used by several functions gathers all their gradients; parts of a matrix share its own.
TEST_F(Functions, SharedAndSplit) {
  ExpectGradients(context, {RandomArray({4, 6}, 1), RandomArray({6, 6}, 2)},
                  [](Tape& tape, const Vars& in) {
                    const Var h = Linear(tape, in[0], in[1], {});
                    const Var once = Add(tape, h, in[0]);
                    return Add(tape, Silu(tape, once), Add(tape, once, once));
                  });
  ExpectGradients(context, {RandomArray({4, 5}, 1), RandomArray({12, 5}, 2)},
                  [](Tape& tape, const Vars& in) {
                    const Var h = Linear(tape, in[0], in[1], {});
                    const std::vector<Var> parts = tape.Split(h, {4, 4, 4});  // the last unused
                    return Add(tape, Silu(tape, Add(tape, parts[1], parts[1])),
                               NormModulate(tape, parts[0], {}, {}));
                  });
}

TEST_F(Functions, MseLossIsTheStartOfABackwardPass) {
  const HostArray x = RandomArray({4, 3}, 1), target = RandomArray({4, 3}, 2);
  Tape tape(context, Tape::Mode::kRecord);
  const Var leaf = tape.Leaf(Tensor::FromHost(context, x));
  const Tensor loss = MseLoss(tape, leaf, Tensor::FromHost(context, target), 2, 0.5f);
  tape.Backward();
  double wanted = 0.0;
  for (size_t i = 0; i < 12; ++i) {
    const double d = double{x.values<float>()[i]} - double{target.values<float>()[i]};
    wanted += d * d / 12.0;
    EXPECT_NEAR(leaf.grad().ToHost().values<float>()[i], 0.5 * 2.0 * d / 12.0, 1e-6);
  }
  const HostArray found = loss.ToHost();
  EXPECT_NEAR(0.5 * (found.values<float>()[0] + found.values<float>()[1]), wanted, 1e-6);
}

TEST_F(Functions, InferringRecordsNothing) {
  Tape tape(context, Tape::Mode::kInfer);
  const Var x = tape.Leaf(Tensor::FromHost(context, RandomArray({2, 2}, 1)));
  EXPECT_FALSE(Silu(tape, x).requires_grad());
}

}  // namespace
}  // namespace suffice
