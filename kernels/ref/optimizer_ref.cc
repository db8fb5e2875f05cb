// SPDX-License-Identifier: Apache-2.0
#include "kernels/ref/access.h"
#include "kernels/ref/model_ops_ref.h"

namespace suffice::ref {
namespace {

// arXiv 1711.05101, Algorithm 2, with the schedule multiplier folded into lr: the decay is
// lr * weight_decay * master. A gradient norm above clip_norm scales every gradient down to it.
void AdamW(Context&, const AdamWParams& p, void*) {
  const double norm = std::sqrt(Get(p.grad_square_sum, {0}));
  if (!std::isfinite(norm)) return;
  const Flat master(p.master), m(p.m), v(p.v), grad(p.grad), compute(p.compute), ema(p.ema);
  double clip = 1.0;
  if (p.clip_norm > 0 && norm > double{p.clip_norm}) clip = double{p.clip_norm} / norm;
  const double beta1 = double{p.beta1}, beta2 = double{p.beta2}, lr = Get(p.schedule, {0});
  const double ema_decay = Get(p.schedule, {1});
  const double correction1 = Get(p.schedule, {2}), correction2 = Get(p.schedule, {3});
  for (int64_t i = 0; i < p.master.shape.elements(); ++i) {
    const double g = clip * grad.Get(i);
    const double m1 = beta1 * m.Get(i) + (1.0 - beta1) * g;
    const double v1 = beta2 * v.Get(i) + (1.0 - beta2) * g * g;
    const double step = m1 / correction1 / (std::sqrt(v1 / correction2) + double{p.eps});
    const double w = master.Get(i) - lr * (step + double{p.weight_decay} * master.Get(i));
    m.Set(i, m1);
    v.Set(i, v1);
    master.Set(i, w);
    if (!p.compute.empty()) compute.Set(i, w);
    if (!p.ema.empty()) {
      ema.Set(i, ema_decay * ema.Get(i) + (1.0 - ema_decay) * w);
    }
  }
}

}  // namespace

void AddOptimizer(Backend& backend) { backend.adamw = Plain(&AdamW); }

}  // namespace suffice::ref
