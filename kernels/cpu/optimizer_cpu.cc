// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "kernels/cpu/model_ops_cpu.h"

namespace suffice::cpu {
namespace {

void AdamW(Context& context, const AdamWParams& p, void*) {
  const RowKernels& kernels = RowKernelsFor(context);
  const float norm = std::sqrt(*p.grad_square_sum.ptr<float>());
  if (!std::isfinite(norm)) return;
  float clip = 1.0f;
  if (p.clip_norm > 0 && norm > p.clip_norm) clip = p.clip_norm / norm;
  const auto* const schedule = p.schedule.ptr<float>();
  ForPieces(context, p.master.shape.elements(), [&](int64_t begin, int64_t end) {
    const auto at = [&](const View& v) {
      return v.empty() ? nullptr : static_cast<float*>(v.data) + begin;
    };
    kernels.adamw({end - begin, at(p.master), at(p.m), at(p.v), at(p.ema), at(p.grad),
                   p.compute.empty() ? Floats{} : FloatsOf(p.compute) + begin, clip, schedule[0],
                   p.beta1, p.beta2, p.eps, p.weight_decay, schedule[1], schedule[2], schedule[3]});
  });
}

}  // namespace

void AddOptimizer(Backend& backend) { backend.adamw = Plain(&AdamW); }

}  // namespace suffice::cpu
