// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/launch.h"
#include "kernels/cuda/model/launch_model.h"
#include "kernels/cuda/model/values.h"

namespace suffice::cuda {
namespace {

constexpr int kWide = 4;  // seven arrays: enough loads under way

struct AdamWArgs {
  float *master, *m, *v, *ema;  // ema, compute: null where not given
  const float* grad;
  Rows compute;
  const float *grad_square_sum, *schedule;
  int64_t count;
  float beta1, beta2, eps, weight_decay, clip_norm;
};

template <int kWidth>
__global__ void __launch_bounds__(kModelThreads) AdamW(const __grid_constant__ AdamWArgs a) {
  const int64_t at = (int64_t{blockIdx.x} * kModelThreads + threadIdx.x) * kWidth;
  const int64_t left = a.count - at;
  if (left <= 0) return;
  const float norm = sqrtf(*a.grad_square_sum);
  if (!isfinite(norm)) return;
  const float lr = a.schedule[0], ema_decay = a.schedule[1];
  const float correction1 = a.schedule[2], correction2 = a.schedule[3];
  float clip = 1.0f;
  if (a.clip_norm > 0.0f && norm > a.clip_norm) clip = a.clip_norm / norm;
  float g[kWidth], m[kWidth], v[kWidth], w[kWidth], ema[kWidth] = {};
  Read<kWidth>(a.grad + at, left, g);
  Read<kWidth>(a.m + at, left, m);
  Read<kWidth>(a.v + at, left, v);
  Read<kWidth>(a.master + at, left, w);
  if (a.ema != nullptr) Read<kWidth>(a.ema + at, left, ema);
#pragma unroll
  for (int d = 0; d < kWidth; ++d) {
    const float gradient = clip * g[d];
    m[d] = a.beta1 * m[d] + (1.0f - a.beta1) * gradient;
    v[d] = a.beta2 * v[d] + (1.0f - a.beta2) * (gradient * gradient);
    const float step = m[d] / correction1 / (sqrtf(v[d] / correction2) + a.eps);
    w[d] -= lr * (step + a.weight_decay * w[d]);
    ema[d] = ema_decay * ema[d] + (1.0f - ema_decay) * w[d];
  }
  Write<kWidth>(a.m + at, left, m);
  Write<kWidth>(a.v + at, left, v);
  Write<kWidth>(a.master + at, left, w);
  if (a.ema != nullptr) Write<kWidth>(a.ema + at, left, ema);
  if (a.compute.data == nullptr) return;
  if (a.compute.bf16) {
    Write<kWidth>(At<BFloat16>(a.compute, 0, at), left, w);
  } else {
    Write<kWidth>(At<float>(a.compute, 0, at), left, w);
  }
}

}  // namespace

void LaunchAdamW(const AdamWParams& p, cudaStream_t stream) {
  AdamWArgs a{};
  a.master = static_cast<float*>(p.master.data);
  a.m = static_cast<float*>(p.m.data);
  a.v = static_cast<float*>(p.v.data);
  a.ema = static_cast<float*>(p.ema.data);
  a.grad = static_cast<const float*>(p.grad.data);
  a.compute = FlatRows(p.compute, 0);
  a.grad_square_sum = static_cast<const float*>(p.grad_square_sum.data);
  a.schedule = static_cast<const float*>(p.schedule.data);
  a.count = p.master.shape.elements();
  a.beta1 = p.beta1;
  a.beta2 = p.beta2;
  a.eps = p.eps;
  a.weight_decay = p.weight_decay;
  a.clip_norm = p.clip_norm;
  if (a.count == 0) return;
  const bool wide = Aligned({FlatRows(p.master, 0), FlatRows(p.m, 0), FlatRows(p.v, 0),
                             FlatRows(p.ema, 0), FlatRows(p.grad, 0), a.compute});
  WithWidth<kWide>(wide, [&](auto width) {
    constexpr int kWidth = decltype(width)::value;
    const int64_t pieces = (a.count + kWidth - 1) / kWidth;
    AdamW<kWidth><<<static_cast<unsigned>((pieces + kModelThreads - 1) / kModelThreads),
                    kModelThreads, 0, stream>>>(a);
  });
  CheckLaunch("adamw");
}

}  // namespace suffice::cuda
