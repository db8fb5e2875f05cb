// SPDX-License-Identifier: Apache-2.0
// Gradients of the tape against central differences, in fp32.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <vector>

#include "lib/base/philox.h"
#include "lib/nn/tape.h"

namespace suffice::testing {

inline HostArray RandomArray(const Shape& shape, uint64_t seed, float scale = 1.0f) {
  HostArray array(DType::kF32, shape);
  uint64_t i = 0;
  for (float& x : array.values<float>()) {
    x = scale * NormalAt(seed, static_cast<uint32_t>(Stream::kTest), i++);
  }
  return array;
}

using Function = std::function<Var(Tape&, const std::vector<Var>&)>;

// Expects the gradients of sum(seed * f(inputs)), seed random, to agree with central differences to
// a relative L2 of `bound` for each input.
inline void ExpectGradients(Context& context, std::vector<HostArray> inputs, const Function& f,
                            double bound = 2e-3, float step = 1e-2f) {
  const auto run = [&](Tape& tape, std::vector<Var>* leaves) {
    for (const HostArray& input : inputs) {
      leaves->push_back(tape.Leaf(Tensor::FromHost(context, input)));
    }
    return f(tape, *leaves);
  };
  Tape tape(context, Tape::Mode::kRecord);
  std::vector<Var> leaves;
  const Var out = run(tape, &leaves);
  const HostArray seed = RandomArray(out.shape(), 99);
  out.AddGrad(Tensor::FromHost(context, seed));
  tape.Backward();

  const auto value = [&] {
    Tape infer(context, Tape::Mode::kInfer);
    std::vector<Var> unused;
    const HostArray y = run(infer, &unused).value().ToHost();
    double sum = 0.0;
    for (size_t i = 0; i < y.values<float>().size(); ++i) {
      sum += double{y.values<float>()[i]} * double{seed.values<float>()[i]};
    }
    return sum;
  };
  for (size_t k = 0; k < inputs.size(); ++k) {
    ASSERT_TRUE(leaves[k].has_grad()) << "input " << k;
    const HostArray found = leaves[k].grad().ToHost();
    double error = 0.0, norm = 0.0;
    for (size_t i = 0; i < inputs[k].values<float>().size(); ++i) {
      float& x = inputs[k].values<float>()[i];
      const float before = x;
      x = before + step;
      const double up = value(), above = double{x};
      x = before - step;
      const double down = value(), below = double{x};
      x = before;
      const double wanted = (up - down) / (above - below);
      const double difference = double{found.values<float>()[i]} - wanted;
      error += difference * difference;
      norm += wanted * wanted;
    }
    EXPECT_GT(norm, 0.0) << "input " << k;
    EXPECT_LE(std::sqrt(error / norm), bound) << "input " << k;
  }
}

}  // namespace suffice::testing
