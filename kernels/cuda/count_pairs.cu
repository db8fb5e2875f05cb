// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/count_pairs.h"
#include "kernels/cuda/launch.h"

namespace suffice::cuda {
namespace {

constexpr int kThreads = 128;
constexpr int kWarp = 32;

struct CountArgs {
  const int64_t* ptr;
  const uint16_t* ids;
  unsigned long long* total;
  int64_t rows, n_q, n_k;
  BlockSize block;
  AttentionMask mask;
};

// A warp a row; whole numbers, so that the order of the additions does not show.
__global__ void __launch_bounds__(kThreads) CountPairs(const __grid_constant__ CountArgs a) {
  const int64_t row = (int64_t{blockIdx.x} * kThreads + threadIdx.x) / kWarp;
  if (row >= a.rows) return;
  const int64_t t_q = BlockCount(a.n_q, a.block.q);
  unsigned long long kept = 0;
  for (int64_t entry = a.ptr[row] + threadIdx.x % kWarp; entry < a.ptr[row + 1]; entry += kWarp) {
    kept += static_cast<unsigned long long>(
        PairsOf(row % t_q, a.ids[entry], a.n_q, a.n_k, a.block, a.mask));
  }
  for (int step = kWarp / 2; step > 0; step /= 2) kept += __shfl_xor_sync(~0u, kept, step);
  if (threadIdx.x % kWarp == 0 && kept != 0) atomicAdd(a.total, kept);
}

}  // namespace

void LaunchCountPairs(const CountPairsParams& p, cudaStream_t stream) {
  const CountArgs a{.ptr = p.rows.ptr.ptr<int64_t>(),
                    .ids = p.rows.ids.ptr<uint16_t>(),
                    .total = static_cast<unsigned long long*>(p.total.data),
                    .rows = p.rows.ptr.dim(0) - 1,
                    .n_q = p.n_q,
                    .n_k = p.n_k,
                    .block = p.block,
                    .mask = p.mask};
  if (!p.accumulate) Check(cudaMemsetAsync(a.total, 0, sizeof(*a.total), stream), "count_pairs");
  if (a.rows == 0) return;
  const int64_t ctas = (a.rows * kWarp + kThreads - 1) / kThreads;
  CountPairs<<<static_cast<unsigned>(ctas), kThreads, 0, stream>>>(a);
  CheckLaunch("count_pairs");
}

}  // namespace suffice::cuda
