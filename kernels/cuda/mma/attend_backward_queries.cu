// SPDX-License-Identifier: Apache-2.0
// dq by rows: a CTA owns 64 queries and walks the keys that they keep.
#include <cmath>

#include "kernels/cuda/mma/backward_args.h"
#include "kernels/cuda/mma/tile.h"

namespace suffice::cuda::mma {
namespace {

__device__ void Copy(const uint32_t (&from)[4], uint32_t (&to)[4]) {
#pragma unroll
  for (int i = 0; i < 4; ++i) to[i] = from[i];
}

template <int kDim>
__global__ void __launch_bounds__(kThreads, 2) DqKernel(const BackwardArgs p) {
  constexpr int kBytes = Tile<kDim>::Bytes(kTokens);
  extern __shared__ __align__(1024) unsigned char memory[];
  const uint32_t base = SharedAddress(memory);
  const auto k = [&](int stage) { return Tile<kDim>{base + (2 * stage) * kBytes}; };
  const auto v = [&](int stage) { return Tile<kDim>{base + (2 * stage + 1) * kBytes}; };

  const Scope& scope = p.scope;
  const int place = static_cast<int>(blockIdx.x);
  const int own =
      p.query_order != nullptr ? p.query_order[place] : static_cast<int>(gridDim.x) - 1 - place;
  const int head = own / p.query_tiles;
  const int first_query = own % p.query_tiles * kTokens;
  const int queries = min(kTokens, scope.n_q - first_query);
  const int b = head / scope.heads;
  const int h = head % scope.heads;
  const int key_head = h / scope.group;
  const auto copy_keys = [&](int token, int stage) {
    CopyRows<kTokens>(p.k.Row(b, key_head, token), p.k.token, scope.n_k - token, k(stage));
    CopyRows<kTokens>(p.v.Row(b, key_head, token), p.v.token, scope.n_k - token, v(stage));
    CommitCopies();
  };

  // q and do go to registers, by way of the buffers of the second keys.
  CopyRows<kTokens>(p.q.Row(b, h, first_query), p.q.token, queries, k(1));
  CopyRows<kTokens>(p.d_o.Row(b, h, first_query), p.d_o.token, queries, v(1));
  CommitCopies();
  const KeptTiles tiles =
      RowTiles(scope, head, first_query / scope.block_q, first_query + queries - 1);
  int first_key = tiles.begin < tiles.end ? tiles[tiles.begin] * kTokens : 0;
  if (tiles.begin < tiles.end) copy_keys(first_key, 0);
  CommitCopies();
  WaitForCopies<1>();
  __syncthreads();
  const int row = 16 * Warp();  // of this warp, in the tile
  uint32_t q[kDim / 16][4], d_o[kDim / 16][4];
#pragma unroll
  for (int step = 0; step < kDim / 16; ++step) {
    LoadLeft(k(1), row, step, q[step]);
    LoadLeft(v(1), row, step, d_o[step]);
  }
  RowStats stats[2];
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    stats[half] = p.stats[int64_t{own} * kTokens + row + RowInWarp(0, half)];
  }

  float dq[1][kDim / 8][4] = {};
  int stage = 0;
  for (int n = tiles.begin; n < tiles.end; ++n, stage ^= 1) {
    const int next_key = n + 1 < tiles.end ? tiles[n + 1] * kTokens : 0;
    WaitForCopies<0>();
    __syncthreads();  // these keys have arrived, and the ones before have been used
    if (n + 1 < tiles.end) copy_keys(next_key, stage ^ 1);
    Scores<1> s = {}, dp = {};
    AddDots([&](int step, uint32_t(&a)[1][4]) { Copy(q[step], a[0]); }, k(stage), s);
    AddDots([&](int step, uint32_t(&a)[1][4]) { Copy(d_o[step], a[0]); }, v(stage), dp);
    if (first_key + kTokens - 1 > LastKey(scope, first_query)) {
      Mask<1>(scope, first_query + row, first_key, s);
    }
#pragma unroll
    for (int i = 0; i < kTokens / 8; ++i) {
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        const float weight = Exp2(fmaf(s[0][i][j], p.c, -stats[j / 2].lse));
        s[0][i][j] = weight * (dp[0][i][j] - stats[j / 2].delta);
      }
    }
    AddProduct(s, k(stage), dq);
    first_key = next_key;
  }

  WaitForCopies<0>();
  __syncthreads();  // all keys have been used
  const float scale[1][2] = {{p.scale, p.scale}};
  StoreRows<kDim>(dq, scale, memory, row, queries - row, p.dq.Row(b, h, first_query + row),
                  p.dq.token);
}

template <int kDim>
void Launch(const BackwardArgs& args, int64_t heads, cudaStream_t stream) {
  constexpr int kBytes = 4 * Tile<kDim>::Bytes(kTokens);
  Check(cudaFuncSetAttribute(DqKernel<kDim>, cudaFuncAttributeMaxDynamicSharedMemorySize, kBytes),
        "attend_backward: dq");
  const auto tiles = static_cast<unsigned>(heads * args.query_tiles);
  DqKernel<kDim><<<tiles, kThreads, kBytes, stream>>>(args);
  CheckLaunch("attend_backward: dq");
}

}  // namespace

void LaunchQueries(const BackwardArgs& args, int dim, int64_t heads, cudaStream_t stream) {
  dim == 64 ? Launch<64>(args, heads, stream) : Launch<128>(args, heads, stream);
}

}  // namespace suffice::cuda::mma
