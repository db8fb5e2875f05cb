// SPDX-License-Identifier: Apache-2.0
// What the backward pass needs of each query before it starts: delta = sum of d_o * o, and the
// log-sum-exp as a base-2 exponent.
#include "kernels/cuda/hopper/attend_backward_args.h"
#include "kernels/cuda/launch.h"

namespace suffice::cuda::hopper {
namespace {

constexpr int kThreads = 256;
constexpr int kVector = 8;  // values of a 16-byte load

constexpr int RowsOfCta(int dim) { return kThreads / (dim / kVector); }

// kDim / 8 lanes a query. Sequences follow each other along x, the only axis of a grid that takes
// more than 65,535 of them; each is padded to whole CTAs.
template <int kDim>
__global__ void __launch_bounds__(kThreads) RowsKernel(const RowsArgs args) {
  static_assert(kSubBlock % RowsOfCta(kDim) == 0);
  constexpr int kLanes = kDim / kVector;
  const int place = static_cast<int>(blockIdx.x), ctas = args.out.padded / RowsOfCta(kDim);
  const int sequence = place / ctas;
  const int t = place % ctas * RowsOfCta(kDim) + static_cast<int>(threadIdx.x) / kLanes;
  const int lane = static_cast<int>(threadIdx.x) % kLanes;
  const int batch = sequence / args.heads, head = sequence % args.heads;
  float sum = 0.0f;
  if (t < args.n_q) {
    const auto load = [&](const BFloat16* x, int64_t b, int64_t h, int64_t n) {
      return *reinterpret_cast<const uint4*>(x + batch * b + head * h + t * n + lane * kVector);
    };
    const uint4 o = load(args.o, args.o_batch, args.o_head, args.o_token);
    const uint4 g = load(args.d_o, args.d_o_batch, args.d_o_head, args.d_o_token);
    const uint32_t o_pairs[] = {o.x, o.y, o.z, o.w}, g_pairs[] = {g.x, g.y, g.z, g.w};
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const auto low = [](uint32_t pair) { return __uint_as_float(pair << 16); };
      const auto high = [](uint32_t pair) { return __uint_as_float(pair & 0xFFFF0000u); };
      sum = fmaf(low(o_pairs[i]), low(g_pairs[i]), sum);
      sum = fmaf(high(o_pairs[i]), high(g_pairs[i]), sum);
    }
  }
#pragma unroll
  for (int step = kLanes / 2; step > 0; step /= 2) sum += __shfl_xor_sync(~0u, sum, step);
  if (lane != 0) return;
  float lse = -INFINITY;
  if (t < args.n_q) {
    lse = args.lse[batch * args.lse_batch + head * args.lse_head + t * args.lse_token];
  }
  const int64_t at = int64_t{sequence} * args.out.padded + t;
  args.out.lse2[at] = lse == -INFINITY ? INFINITY : lse / args.unit;
  args.out.delta[at] = sum;
}

}  // namespace

void LaunchRows(const RowsArgs& args, int dim, cudaStream_t stream) {
  const int64_t ctas = int64_t{args.sequences} * (args.out.padded / RowsOfCta(dim));
  const auto kernel = dim == 128 ? &RowsKernel<128> : &RowsKernel<64>;
  kernel<<<static_cast<unsigned>(ctas), kThreads, 0, stream>>>(args);
  CheckLaunch("attend_backward: rows");
}

}  // namespace suffice::cuda::hopper
