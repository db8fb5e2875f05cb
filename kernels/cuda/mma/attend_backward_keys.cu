// SPDX-License-Identifier: Apache-2.0
// dk and dv by columns: a CTA owns 64 keys and walks the queries that keep them, of all heads of
// the group.
#include <cmath>

#include "kernels/cuda/mma/backward_args.h"
#include "kernels/cuda/mma/tile.h"

namespace suffice::cuda::mma {
namespace {

// The query tiles that meet one key tile, of one query head after the other.
struct GroupTiles {
  int head, end_head;  // over the whole batch
  KeptTiles tiles;
  int n;

  __device__ bool done() const { return head == end_head; }
  __device__ int first_query() const { return tiles[n] * kTokens; }

  // To the next head that has a tile, if this one has no more.
  __device__ void Settle(const Scope& scope, int key_block, int first_key) {
    while (n >= tiles.end && ++head < end_head) {
      tiles = ColumnTiles(scope, head, key_block, first_key);
      n = tiles.begin;
    }
  }
};

template <int kDim>
__global__ void __launch_bounds__(kThreads, 2) DkDvKernel(const BackwardArgs p) {
  constexpr int kBytes = Tile<kDim>::Bytes(kTokens);
  extern __shared__ __align__(1024) unsigned char memory[];
  const uint32_t base = SharedAddress(memory);
  const Tile<kDim> k = {base};
  const Tile<kDim> v = {base + kBytes};
  const auto q = [&](int stage) { return Tile<kDim>{base + (2 + 2 * stage) * kBytes}; };
  const auto d_o = [&](int stage) { return Tile<kDim>{base + (3 + 2 * stage) * kBytes}; };
  const auto* stats = reinterpret_cast<const RowStats*>(memory + 6 * kBytes);  // [stage][query]

  const Scope& scope = p.scope;
  const int place = static_cast<int>(blockIdx.x);
  const int own = p.key_order != nullptr ? p.key_order[place] : place;
  const int key_heads = scope.heads / scope.group;
  const int b = own / p.key_tiles / key_heads;
  const int key_head = own / p.key_tiles % key_heads;
  const int first_key = own % p.key_tiles * kTokens;
  const int key_block = first_key / scope.block_k;
  const int keys = min(kTokens, scope.n_k - first_key);
  const auto copy_queries = [&](int head, int token, int stage) {
    const int h = head - b * scope.heads;
    const int there = scope.n_q - token;
    CopyRows<kTokens>(p.q.Row(b, h, token), p.q.token, there, q(stage));
    CopyRows<kTokens>(p.d_o.Row(b, h, token), p.d_o.token, there, d_o(stage));
    constexpr int kStatsBytes = kTokens * sizeof(RowStats);
    if (threadIdx.x < kStatsBytes / 16) {
      const RowStats* from = p.stats + (int64_t{head} * p.query_tiles * kTokens + token);
      CopyAsync(base + 6 * kBytes + stage * kStatsBytes + 16 * threadIdx.x, from + 2 * threadIdx.x,
                true);
    }
    CommitCopies();
  };

  CopyRows<kTokens>(p.k.Row(b, key_head, first_key), p.k.token, keys, k);
  CopyRows<kTokens>(p.v.Row(b, key_head, first_key), p.v.token, keys, v);
  CommitCopies();
  const int first_head = b * scope.heads + key_head * scope.group;
  GroupTiles at = {first_head, first_head + scope.group,
                   ColumnTiles(scope, first_head, key_block, first_key), 0};
  at.n = at.tiles.begin;
  at.Settle(scope, key_block, first_key);
  if (!at.done()) copy_queries(at.head, at.first_query(), 0);

  const int row = 16 * Warp();  // of this warp, in the tile
  float dk[1][kDim / 8][4] = {}, dv[1][kDim / 8][4] = {};
  for (int stage = 0; !at.done(); stage ^= 1) {
    const int first_query = at.first_query();
    ++at.n;
    at.Settle(scope, key_block, first_key);
    WaitForCopies<0>();
    __syncthreads();  // these queries have arrived, and the ones before have been used
    if (!at.done()) copy_queries(at.head, at.first_query(), stage ^ 1);

    Scores<1> s = {};  // transposed: a row is a key
    AddDots(k, row, q(stage), s);
    const bool masked = first_key + keys - 1 > LastKey(scope, first_query);
#pragma unroll
    for (int i = 0; i < kTokens / 8; ++i) {
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        const int query = Column(i, j % 2);
        const float x = fmaf(s[0][i][j], p.c, -stats[stage * kTokens + query].lse);
        s[0][i][j] = Exp2(x);
        if (masked && first_key + row + RowInWarp(0, j / 2) > LastKey(scope, first_query + query)) {
          s[0][i][j] = 0.0f;
        }
      }
    }
    AddProduct(s, d_o(stage), dv);
    Scores<1> dp = {};
    AddDots(v, row, d_o(stage), dp);
#pragma unroll
    for (int i = 0; i < kTokens / 8; ++i) {
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        s[0][i][j] *= dp[0][i][j] - stats[stage * kTokens + Column(i, j % 2)].delta;
      }
    }
    AddProduct(s, q(stage), dk);
  }

  WaitForCopies<0>();
  __syncthreads();  // without a query, k and v are only now out of the way
  const float dk_scale[1][2] = {{p.scale, p.scale}};
  const float dv_scale[1][2] = {{1.0f, 1.0f}};
  StoreRows<kDim>(dk, dk_scale, memory, row, keys - row, p.dk.Row(b, key_head, first_key + row),
                  p.dk.token);
  StoreRows<kDim>(dv, dv_scale, memory + kBytes, row, keys - row,
                  p.dv.Row(b, key_head, first_key + row), p.dv.token);
}

template <int kDim>
void Launch(const BackwardArgs& args, int64_t key_heads, cudaStream_t stream) {
  constexpr int kBytes =
      6 * Tile<kDim>::Bytes(kTokens) + 2 * kTokens * static_cast<int>(sizeof(RowStats));
  Check(cudaFuncSetAttribute(DkDvKernel<kDim>, cudaFuncAttributeMaxDynamicSharedMemorySize, kBytes),
        "attend_backward: dk, dv");
  const auto tiles = static_cast<unsigned>(key_heads * args.key_tiles);
  DkDvKernel<kDim><<<tiles, kThreads, kBytes, stream>>>(args);
  CheckLaunch("attend_backward: dk, dv");
}

}  // namespace

void LaunchKeys(const BackwardArgs& args, int dim, int64_t key_heads, cudaStream_t stream) {
  dim == 64 ? Launch<64>(args, key_heads, stream) : Launch<128>(args, key_heads, stream);
}

}  // namespace suffice::cuda::mma
