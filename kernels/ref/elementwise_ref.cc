// SPDX-License-Identifier: Apache-2.0
#include "kernels/ref/access.h"
#include "kernels/ref/model_ops_ref.h"
#include "lib/base/philox.h"

namespace suffice::ref {
namespace {

void Axpby(Context&, const AxpbyParams& p, void*) {
  const Flat x(p.x), y(p.y), out(p.out);
  const int64_t count = p.out.shape.elements();
  const View& factors = p.alphas.empty() ? p.betas : p.alphas;
  const int64_t part = factors.empty() ? count : count / factors.dim(0);
  for (int64_t i = 0; i < count; ++i) {
    const double alpha = double{p.alpha} * (p.alphas.empty() ? 1.0 : Get(p.alphas, {i / part}));
    const double beta = double{p.beta} * (p.betas.empty() ? 1.0 : Get(p.betas, {i / part}));
    out.Set(i, alpha * x.Get(i) + (p.y.empty() ? 0.0 : beta * y.Get(i)));
  }
}

void Silu(Context&, const SiluParams& p, void*) {
  const Flat in(p.x), dy(p.dy), out(p.out);
  for (int64_t i = 0; i < p.x.shape.elements(); ++i) {
    const double x = in.Get(i), s = Sigmoid(x);
    out.Set(i, p.dy.empty() ? x * s : dy.Get(i) * s * (1.0 + x * (1.0 - s)));
  }
}

void Mse(Context&, const MseParams& p, void*) {
  const int64_t groups = p.x.dim(0), n = p.x.dim(1);
  for (int64_t g = 0; g < groups; ++g) {
    double sum = 0.0;
    for (int64_t i = 0; i < n; ++i) {
      const double difference = Get(p.x, {g, i}) - Get(p.y, {g, i});
      sum += difference * difference;
      if (!p.d_x.empty()) {
        Set(p.d_x, {g, i}, 2.0 * difference * double{p.weight} / static_cast<double>(groups * n));
      }
    }
    Set(p.loss, {g}, sum / static_cast<double>(n));
  }
}

void SumSquares(Context&, const SumSquaresParams& p, void*) {
  const Flat x(p.x);
  double sum = p.accumulate ? Get(p.out, {0}) : 0.0;
  for (int64_t i = 0; i < p.x.shape.elements(); ++i) sum += x.Get(i) * x.Get(i);
  Set(p.out, {0}, sum);
}

void NormalFill(Context&, const NormalFillParams& p, void*) {
  const Flat out(p.out);
  for (int64_t i = 0; i < p.out.shape.elements(); ++i) {
    out.Set(i, double{NormalAt(p.seed, p.stream, p.offset + static_cast<uint64_t>(i))});
  }
}

void Fill(Context&, const FillParams& p, void*) {
  const Flat out(p.out);
  for (int64_t i = 0; i < p.out.shape.elements(); ++i) out.Set(i, double{p.value});
}

}  // namespace

void AddElementwise(Backend& backend) {
  backend.axpby = Plain(&Axpby);
  backend.silu = Plain(&Silu);
  backend.mse = Plain(&Mse);
  backend.sum_squares = Plain(&SumSquares);
  backend.normal_fill = Plain(&NormalFill);
  backend.fill = Plain(&Fill);
}

}  // namespace suffice::ref
