// SPDX-License-Identifier: Apache-2.0
// Block means. The order of the sum is stated (kernels/attention.h): a thread owns some channels of
// one block and adds its tokens one after the other. What hides the latency is the number of loads
// under way: 16 of 16 bytes a thread, and neighbouring threads read whole rows.
#include <algorithm>
#include <cstdint>

#include "kernels/cuda/launch_next.h"
#include "kernels/cuda/select/pool.h"
#include "kernels/cuda/vector16.h"

namespace suffice::cuda {
namespace {

constexpr int kThreads = 128;
constexpr int kInFlight = 16;
constexpr unsigned kMostRows = 65535;  // of a grid

struct PoolArgs {
  const void* x;
  float* pooled;
  int64_t x_batch, x_head, x_token;  // strides, in elements
  int64_t pooled_batch, pooled_head, pooled_block;
  int heads, all_heads, tokens, block, blocks, dim;
};

// A thread's piece of a row is kWidth values. Grid: x over blocks and pieces, y over heads.
template <class T, int kWidth>
__global__ void __launch_bounds__(kThreads) PoolBlocks(PoolArgs a) {
  LetNextKernelStart();
  const int pieces = a.dim / kWidth;
  const int index = static_cast<int>(blockIdx.x * kThreads + threadIdx.x);
  const int block = index / pieces;
  if (block >= a.blocks) return;
  const int column = (index - block * pieces) * kWidth;
  const int begin = block * a.block;
  const int count = min(a.block, a.tokens - begin);
  for (int head = static_cast<int>(blockIdx.y); head < a.all_heads;
       head += static_cast<int>(gridDim.y)) {
    const int b = head / a.heads, h = head - b * a.heads;
    const T* x = static_cast<const T*>(a.x) + b * a.x_batch + h * a.x_head + begin * a.x_token;
    x += column;
    float sum[kWidth] = {};
    for (int n = 0; n < count; n += kInFlight) {
      Vector<T, kWidth> rows[kInFlight];
#pragma unroll
      for (int u = 0; u < kInFlight; ++u) {
        if (n + u < count) rows[u] = LoadVector<T, kWidth>(x + (n + u) * a.x_token);
      }
#pragma unroll
      for (int u = 0; u < kInFlight; ++u) {
        if (n + u < count) {
#pragma unroll
          for (int d = 0; d < kWidth; ++d) sum[d] += rows[u].value(d);
        }
      }
    }
    float* out = a.pooled + b * a.pooled_batch + h * a.pooled_head + block * a.pooled_block;
#pragma unroll
    for (int d = 0; d < kWidth; ++d) sum[d] = __fdiv_rn(sum[d], static_cast<float>(count));
    StoreFloats<kWidth>(out + column, sum);
  }
}

template <class T>
void LaunchTyped(const PoolArgs& a, cudaStream_t stream) {
  constexpr int kWidth = Vector<T>::kValues;
  const bool wide = a.dim % kWidth == 0 && Aligned16<T>(a.x, {a.x_batch, a.x_head, a.x_token}) &&
                    Aligned16<float>(a.pooled, {a.pooled_batch, a.pooled_head, a.pooled_block});
  const int64_t threads = int64_t{a.blocks} * (wide ? a.dim / kWidth : a.dim);
  const dim3 grid(static_cast<unsigned>((threads + kThreads - 1) / kThreads),
                  std::min(static_cast<unsigned>(a.all_heads), kMostRows));
  if (wide) {
    PoolBlocks<T, kWidth><<<grid, kThreads, 0, stream>>>(a);
  } else {
    PoolBlocks<T, 1><<<grid, kThreads, 0, stream>>>(a);
  }
  CheckLaunch("pool");
}

}  // namespace

void LaunchPool(const PoolParams& p, cudaStream_t stream) {
  PoolArgs a;
  a.x = p.x.data;
  a.pooled = static_cast<float*>(p.pooled.data);
  a.x_batch = p.x.stride(0);
  a.x_head = p.x.stride(1);
  a.x_token = p.x.stride(2);
  a.pooled_batch = p.pooled.stride(0);
  a.pooled_head = p.pooled.stride(1);
  a.pooled_block = p.pooled.stride(2);
  a.heads = static_cast<int>(p.x.dim(1));
  a.all_heads = static_cast<int>(p.x.dim(0) * p.x.dim(1));
  a.tokens = static_cast<int>(p.x.dim(2));
  a.block = static_cast<int>(std::min<int64_t>(p.block, p.x.dim(2)));
  a.blocks = static_cast<int>(p.pooled.dim(2));
  a.dim = static_cast<int>(p.x.dim(3));
  if (p.x.dtype == DType::kBF16) {
    LaunchTyped<BFloat16>(a, stream);
  } else {
    LaunchTyped<float>(a, stream);
  }
}

}  // namespace suffice::cuda
