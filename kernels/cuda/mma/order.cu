// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/launch.h"
#include "kernels/cuda/mma/order.h"

namespace suffice::cuda::mma {
namespace {

constexpr int kThreads = 1024;
constexpr int kClasses = 33;  // leading zeros of a count; the last: none

__device__ int ClassOf(const int64_t* ptr, const TileGrid& grid, int tile) {
  const int head = tile / grid.tiles;
  const int block = tile % grid.tiles / grid.tiles_per_block;
  int64_t count = 0;
  for (int i = 0; i < grid.lists; ++i) {
    const int64_t* list = ptr + (int64_t{head} * grid.lists + i) * grid.blocks + block;
    count += list[1] - list[0];
  }
  return __clz(static_cast<int>(count));
}

// One CTA. It takes the tiles a thousand at a time, so that those of a class stay nearly in order.
__global__ void __launch_bounds__(kThreads)
    LongestFirstKernel(const int64_t* ptr, const TileGrid grid, int* order) {
  __shared__ int next[kClasses];
  const int thread = static_cast<int>(threadIdx.x);
  const int all = grid.heads * grid.tiles;
  if (thread < kClasses) next[thread] = 0;
  __syncthreads();
  for (int tile = thread; tile < all; tile += kThreads) {
    atomicAdd(&next[ClassOf(ptr, grid, tile)], 1);
  }
  __syncthreads();
  if (thread == 0) {
    int start = 0;
    for (int& n : next) {
      const int count = n;
      n = start;
      start += count;
    }
  }
  for (int first = 0; first < all; first += kThreads) {
    __syncthreads();
    const int tile = first + thread;
    if (tile < all) order[atomicAdd(&next[ClassOf(ptr, grid, tile)], 1)] = tile;
  }
}

}  // namespace

void LongestFirst(const int64_t* ptr, const TileGrid& grid, int* order, cudaStream_t stream) {
  LongestFirstKernel<<<1, kThreads, 0, stream>>>(ptr, grid, order);
  CheckLaunch("attention: order of tiles");
}

}  // namespace suffice::cuda::mma
