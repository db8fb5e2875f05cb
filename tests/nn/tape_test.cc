// SPDX-License-Identifier: Apache-2.0
// A whole transformer block: its gradients, and checkpointing.
#include "lib/nn/tape.h"

#include "lib/nn/attention.h"
#include "lib/nn/functions.h"
#include "tests/nn/grad_check.h"

namespace suffice {
namespace {

using testing::ExpectGradients;
using testing::RandomArray;
using Vars = std::vector<Var>;

constexpr int64_t kBatch = 2, kTokens = 5, kHeads = 2, kDim = 4, kWidth = kHeads * kDim;

// in: x, c (B, width), modulation weight, qkv weight, q and k norms, out weight, mlp weights.
std::vector<HostArray> BlockInputs() {
  return {RandomArray({kBatch * kTokens, kWidth}, 1),
          RandomArray({kBatch, kWidth}, 2),
          RandomArray({6 * kWidth, kWidth}, 3, 0.3f),
          RandomArray({3 * kWidth, kWidth}, 4, 0.3f),
          RandomArray({kDim}, 5),
          RandomArray({kDim}, 6),
          RandomArray({kWidth, kWidth}, 7, 0.3f),
          RandomArray({2 * kWidth, kWidth}, 8, 0.3f),
          RandomArray({kWidth, 2 * kWidth}, 9, 0.3f)};
}

Var Block(Tape& tape, const Var& x, const Var& c, const Vars& in) {
  const Var m = tape.WithFp32Gradient(Linear(tape, Silu(tape, c), in[2], {}));
  const Vars mod = tape.Split(m, std::vector<int64_t>(6, kWidth));
  const Var h = NormModulate(tape, x, mod[1], mod[0]);
  const Vars qkv = tape.Split(Linear(tape, h, in[3], {}), {kWidth, kWidth, kWidth});
  const QkHeads heads = QkNormRope(tape, qkv[0], qkv[1], in[4], in[5], {}, kBatch, kDim, {});
  const Var o = Attention(tape, heads, qkv[2], {});
  const Var x1 = LinearGateResidual(tape, o, in[6], {}, mod[2], x);
  const Var h2 = NormModulate(tape, x1, mod[4], mod[3]);
  return LinearGateResidual(tape, Linear(tape, h2, in[7], {}, Activation::kGeluTanh), in[8], {},
                            mod[5], x1);
}

TEST(Tape, GradientsOfATransformerBlock) {
  Context context({.backend = "ref"});
  ExpectGradients(
      context, BlockInputs(),
      [](Tape& tape, const Vars& in) { return Block(tape, in[0], in[1], in); }, 5e-3);
}

// Two blocks that share c, whose gradient gathers from both, with and without checkpoints.
std::vector<HostArray> Gradients(Context& context, DType dtype, bool checkpoint) {
  Tape tape(context, Tape::Mode::kRecord);
  Vars in;
  for (const HostArray& input : BlockInputs()) {
    // Weights of norms are fp32, as parameters are.
    const DType type = input.shape().rank == 1 ? DType::kF32 : dtype;
    in.push_back(tape.Leaf(Tensor::FromHost(context, input.Cast(type))));
    if (input.shape().rank > 1 && in.size() > 2) {
      in.back() = tape.WithFp32Gradient(in.back());
    }
  }
  Var x = in[0];
  for (int layer = 0; layer < 2; ++layer) {
    const auto block = [=](Tape& t) { return Block(t, x, in[1], in); };
    x = checkpoint ? tape.Checkpoint(block) : block(tape);
  }
  x.AddGrad(Tensor::FromHost(context, RandomArray(x.shape(), 99).Cast(dtype)));
  tape.Backward();
  std::vector<HostArray> gradients;
  for (const Var& var : in) gradients.push_back(var.grad().ToHost());
  return gradients;
}

TEST(Tape, CheckpointsGiveTheSameBits) {
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    Context context({.backend = "ref"});
    const std::vector<HostArray> plain = Gradients(context, dtype, false);
    const std::vector<HostArray> again = Gradients(context, dtype, true);
    for (size_t i = 0; i < plain.size(); ++i) {
      EXPECT_TRUE(std::equal(plain[i].data(), plain[i].data() + plain[i].bytes(), again[i].data()))
          << "input " << i;
    }
  }
}

}  // namespace
}  // namespace suffice
