// SPDX-License-Identifier: Apache-2.0
// ref's backward operations against central differences of its forward operations.
#include <gtest/gtest.h>

#include "tests/model_ops/rig.h"

namespace suffice::testing {
namespace {

constexpr DType kF32 = DType::kF32;

class RefGradient : public ::testing::Test {
 protected:
  // d/dx of sum_i seed_i y_i, by central differences, where run() makes y of x.
  HostArray Difference(const View& x, const View& y, const View& seed,
                       const std::function<void()>& run) {
    constexpr float kStep = 1e-2f;
    const auto value = [&] {
      run();
      double sum = 0.0;
      for (int64_t i = 0; i < y.shape.elements(); ++i) {
        sum += double{static_cast<float*>(y.data)[i]} * double{static_cast<float*>(seed.data)[i]};
      }
      return sum;
    };
    HostArray gradient(kF32, x.shape);
    float* data = static_cast<float*>(x.data);
    for (int64_t i = 0; i < x.shape.elements(); ++i) {
      const float before = data[i];
      data[i] = before + kStep;
      const double up = value();
      const double above = double{data[i]};
      data[i] = before - kStep;
      const double down = value();
      gradient.values<float>()[static_cast<size_t>(i)] =
          static_cast<float>((up - down) / (above - double{data[i]}));
      data[i] = before;
    }
    run();
    return gradient;
  }
  static HostArray Copy(const View& v) {
    HostArray array(kF32, v.shape);
    std::copy_n(static_cast<float*>(v.data), v.shape.elements(), array.values<float>().begin());
    return array;
  }
  View Zeros(const Shape& shape) {
    const View v = r.Out(shape, kF32);
    context.Run(FillParams{.out = v});
    return v;
  }
  void ExpectClose(const View& found, const HostArray& wanted, const char* what) {
    EXPECT_LE(RelativeError(Copy(found), wanted), 1e-3) << what;
  }

  Context context{{.backend = "ref"}};
  Rig r{context, kF32};
};

TEST_F(RefGradient, Activations) {
  for (const Activation activation : {Activation::kGeluTanh, Activation::kSilu}) {
    const View x = r.In({4, 5}), one = Zeros({5, 5}), y = r.Out({4, 5}), dy = r.In({4, 5});
    for (int64_t i = 0; i < 5; ++i) *one.ptr<float>({i, i}) = 1.0f;
    const HostArray wanted = Difference(x, y, dy, [&] {
      context.Run(LinearParams{.a = x, .b = one, .activation = activation, .out = y});
    });
    const View dx = r.Out({4, 5});
    context.Run(ActivationBackwardParams{
        .pre_activation = x, .dy = dy, .dx = dx, .activation = activation});
    ExpectClose(dx, wanted, "dx");
  }
}

TEST_F(RefGradient, Gate) {
  const View a = r.In({6, 5}), one = Zeros({5, 5}), gate = r.In({2, 5}), residual = r.In({6, 5});
  const View out = r.Out({6, 5}), dy = r.In({6, 5}), ungated = r.Out({6, 5});
  for (int64_t i = 0; i < 5; ++i) *one.ptr<float>({i, i}) = 1.0f;
  const auto run = [&] {
    context.Run(LinearParams{
        .a = a, .b = one, .gate = gate, .residual = residual, .ungated = ungated, .out = out});
  };
  const HostArray wanted_h = Difference(a, out, dy, run),
                  wanted_gate = Difference(gate, out, dy, run);
  const View dh = r.Out({6, 5}), d_gate = Zeros({2, 5});
  context.Run(GateBackwardParams{.h = ungated, .dy = dy, .gate = gate, .dh = dh, .d_gate = d_gate});
  ExpectClose(dh, wanted_h, "dh");
  ExpectClose(d_gate, wanted_gate, "d_gate");
}

TEST_F(RefGradient, NormModulate) {
  const View x = r.In({6, 8}), scale = r.In({2, 8}), shift = r.In({2, 8}), y = r.Out({6, 8});
  const View mean = r.Out({6}), rstd = r.Out({6}), dy = r.In({6, 8});
  const auto run = [&] {
    context.Run(NormModulateParams{
        .x = x, .scale = scale, .shift = shift, .y = y, .mean = mean, .rstd = rstd});
  };
  const HostArray wanted_x = Difference(x, y, dy, run),
                  wanted_scale = Difference(scale, y, dy, run);
  const HostArray wanted_shift = Difference(shift, y, dy, run);
  const View dx = r.Out({6, 8}), d_scale = Zeros({2, 8}), d_shift = Zeros({2, 8});
  context.Run(NormModulateBackwardParams{.x = x,
                                         .scale = scale,
                                         .mean = mean,
                                         .rstd = rstd,
                                         .dy = dy,
                                         .dx = dx,
                                         .d_scale = d_scale,
                                         .d_shift = d_shift});
  ExpectClose(dx, wanted_x, "dx");
  ExpectClose(d_scale, wanted_scale, "d_scale");
  ExpectClose(d_shift, wanted_shift, "d_shift");
}

TEST_F(RefGradient, QkNormRope) {
  for (const bool norm : {false, true}) {
    QkNormRopePoolParams p;
    p.q.in = r.In({1, 3, 2, 6});
    p.q.out = r.Out({1, 2, 3, 6});
    p.cos = r.In({3, 3});
    p.sin = r.In({3, 3});
    if (norm) {
      p.q.weight = r.In({6});
      p.q.rrms = r.Out({1, 2, 3});
    }
    const View dy = r.In({1, 2, 3, 6});
    const auto run = [&] { context.Run(p); };
    const HostArray wanted = Difference(p.q.in, p.q.out, dy, run);
    QkNormRopeBackwardParams b{.cos = p.cos, .sin = p.sin};
    b.q.in = p.q.in;
    b.q.d_out = dy;
    b.q.d_in = r.Out({1, 3, 2, 6});
    HostArray wanted_weight;
    if (norm) {
      wanted_weight = Difference(p.q.weight, p.q.out, dy, run);
      b.q.weight = p.q.weight;
      b.q.rrms = p.q.rrms;
      b.q.d_weight = Zeros({6});
    }
    context.Run(b);
    ExpectClose(b.q.d_in, wanted, "d_in");
    if (norm) ExpectClose(b.q.d_weight, wanted_weight, "d_weight");
  }
}

TEST_F(RefGradient, SiluAndMse) {
  const View x = r.In({2, 7}), y = r.Out({2, 7}), dy = r.In({2, 7}), dx = r.Out({2, 7});
  const HostArray wanted = Difference(x, y, dy, [&] { context.Run(SiluParams{.x = x, .out = y}); });
  context.Run(SiluParams{.x = x, .out = dx, .dy = dy});
  ExpectClose(dx, wanted, "silu");

  const View loss = r.Out({2}), half = r.Out({2}), target = r.In({2, 7});
  context.Run(FillParams{.out = half, .value = 0.5f});
  const HostArray wanted_mse =
      Difference(x, loss, half, [&] { context.Run(MseParams{.x = x, .y = target, .loss = loss}); });
  context.Run(MseParams{.x = x, .y = target, .loss = loss, .d_x = dx});
  ExpectClose(dx, wanted_mse, "mse");
}

}  // namespace
}  // namespace suffice::testing
