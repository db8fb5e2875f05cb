// SPDX-License-Identifier: Apache-2.0
// attend, mma form: FlashAttention-2 (arXiv 2307.08691) over listed keys. A CTA of four warps owns
// 64 or 128 queries of one query block and walks the keys that the block keeps, 64 at a time:
//
//   s = q k^T     p = exp2(c s - c max so far)     o = o exp2(c (old max - max)) + p v
//
// with c = scale log2 e, and at the end o /= sum p, lse = ln 2 (c max + log2 sum p). There is one
// buffer each for k and v: v is fetched during q k^T, the next k during the softmax and p v.
#include <algorithm>
#include <cmath>

#include "kernels/cuda/mma/launch_mma.h"
#include "kernels/cuda/mma/order.h"
#include "kernels/cuda/mma/tile.h"

namespace suffice::cuda::mma {
namespace {

struct Args {
  Scope scope;
  Heads<const BFloat16> q, k, v;
  Heads<BFloat16> o;
  Heads<float> lse;  // data null: not wanted
  int tiles;         // of queries, of a head
  const int* order;  // null: as they stand, from the last
  float c;           // scale log2 e
  float unit;        // of base-2 exponents in lse: ln 2, but for the rounding of c
};

// The softmax of a warp's rows, whose scores come tile by tile. `sum` is this lane's part.
template <int kM>
struct Softmax {
  float max[kM][2], sum[kM][2];

  __device__ Softmax() {
#pragma unroll
    for (int m = 0; m < kM; ++m) {
      max[m][0] = max[m][1] = -INFINITY;
      sum[m][0] = sum[m][1] = 0.0f;
    }
  }

  // Scores become weights relative to the maximum so far; what was summed before is to be
  // multiplied by `before`. Gives whether a maximum of the warp has moved.
  __device__ bool Add(Scores<kM>& s, float c, float (&before)[kM][2]) {
    bool moved = false;
#pragma unroll
    for (int m = 0; m < kM; ++m) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        float now = max[m][half];
#pragma unroll
        for (int n = 0; n < kTokens / 8; ++n) {
          now = fmaxf(now, fmaxf(s[m][n][2 * half], s[m][n][2 * half + 1]));
        }
        now = fmaxf(now, __shfl_xor_sync(~0u, now, 1));
        now = fmaxf(now, __shfl_xor_sync(~0u, now, 2));
        const float origin = now == -INFINITY ? 0.0f : now * c;  // no allowed key yet
        before[m][half] = Exp2(max[m][half] * c - origin);
        moved = moved || now != max[m][half];
        max[m][half] = now;
        float part = 0.0f;
#pragma unroll
        for (int n = 0; n < kTokens / 8; ++n) {
#pragma unroll
          for (int odd = 0; odd < 2; ++odd) {
            float& x = s[m][n][2 * half + odd];
            part += x = Exp2(fmaf(x, c, -origin));
          }
        }
        sum[m][half] = sum[m][half] * before[m][half] + part;
      }
    }
    return __any_sync(~0u, moved);
  }

  __device__ float SumOfRow(int m, int half) const {
    float x = sum[m][half];
    x += __shfl_xor_sync(~0u, x, 1);
    return x + __shfl_xor_sync(~0u, x, 2);
  }
};

template <int kDim, int kRows>
__global__ void __launch_bounds__(kThreads, 2) AttendKernel(const Args p) {
  constexpr int kM = kRows / 64;
  extern __shared__ __align__(1024) unsigned char memory[];
  const Tile<kDim> q = {SharedAddress(memory)};
  const Tile<kDim> k = {q.address + Tile<kDim>::Bytes(kRows)};
  const Tile<kDim> v = {k.address + Tile<kDim>::Bytes(kTokens)};

  const Scope& scope = p.scope;
  const int place = static_cast<int>(blockIdx.x);
  const int own = p.order != nullptr ? p.order[place] : static_cast<int>(gridDim.x) - 1 - place;
  const int head = own / p.tiles;
  const int first_query = own % p.tiles * kRows;
  const int queries = min(kRows, scope.n_q - first_query);
  const int b = head / scope.heads;
  const int h = head % scope.heads;
  const int key_head = h / scope.group;
  const auto copy_tile = [&](const Heads<const BFloat16>& x, int token, Tile<kDim> to) {
    CopyRows<kTokens>(x.Row(b, key_head, token), x.token, scope.n_k - token, to);
    CommitCopies();
  };

  CopyRows<kRows>(p.q.Row(b, h, first_query), p.q.token, queries, q);
  CommitCopies();
  const KeptTiles tiles =
      RowTiles(scope, head, first_query / scope.block_q, first_query + queries - 1);
  int first_key = tiles.begin < tiles.end ? tiles[tiles.begin] * kTokens : 0;
  if (tiles.begin < tiles.end) copy_tile(p.k, first_key, k);

  const int row = 16 * kM * Warp();  // of this warp, in the tile
  Softmax<kM> softmax;
  float o[kM][kDim / 8][4] = {};
  for (int n = tiles.begin; n < tiles.end; ++n) {
    const int next_key = n + 1 < tiles.end ? tiles[n + 1] * kTokens : 0;
    WaitForCopies<0>();
    __syncthreads();  // k has arrived, at first q too, and the last v has been used
    copy_tile(p.v, first_key, v);
    Scores<kM> s = {};
    AddDots(q, row, k, s);
    WaitForCopies<0>();
    __syncthreads();  // v has arrived, and k has been used
    if (n + 1 < tiles.end) copy_tile(p.k, next_key, k);

    if (first_key + kTokens - 1 > LastKey(scope, first_query)) {
      Mask<kM>(scope, first_query + row, first_key, s);
    }
    float before[kM][2];
    if (softmax.Add(s, p.c, before)) {
#pragma unroll
      for (int m = 0; m < kM; ++m) {
#pragma unroll
        for (int d = 0; d < kDim / 8; ++d) {
#pragma unroll
          for (int i = 0; i < 4; ++i) o[m][d][i] *= before[m][i / 2];
        }
      }
    }
    AddProduct(s, v, o);
    first_key = next_key;
  }

  float scale[kM][2];
#pragma unroll
  for (int m = 0; m < kM; ++m) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const float sum = softmax.SumOfRow(m, half);
      scale[m][half] = sum == 0.0f ? 0.0f : 1.0f / sum;
      const int t = row + RowInWarp(m, half);
      if (p.lse.data == nullptr || Lane() % 4 != 0 || t >= queries) continue;
      *p.lse.Row(b, h, first_query + t) =
          sum == 0.0f ? -INFINITY : (softmax.max[m][half] * p.c + log2f(sum)) * p.unit;
    }
  }
  WaitForCopies<0>();
  __syncthreads();  // without a tile, q is only now out of the way of o
  StoreRows<kDim>(o, scale, memory, row, queries - row, p.o.Row(b, h, first_query + row),
                  p.o.token);
}

template <int kDim, int kRows>
void Launch(const Args& args, int64_t heads, cudaStream_t stream) {
  constexpr int kBytes = Tile<kDim>::Bytes(kRows + 2 * kTokens);
  Check(cudaFuncSetAttribute(AttendKernel<kDim, kRows>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                             kBytes),
        "attend");
  AttendKernel<kDim, kRows>
      <<<static_cast<unsigned>(heads * args.tiles), kThreads, kBytes, stream>>>(args);
  CheckLaunch("attend");
}

// Queries of a CTA. 128 move half as many keys, but their 64 KiB go twice into a multiprocessor
// only where it has more than 100 KiB; two CTAs are worth more.
int RowsOf(const AttendParams& p) {
  if (p.block.q % 128 != 0) return 64;
  if (p.q.dim(3) == 64) return 128;
  int device = 0, bytes = 0;
  Check(cudaGetDevice(&device), "attend");
  Check(cudaDeviceGetAttribute(&bytes, cudaDevAttrMaxSharedMemoryPerMultiprocessor, device),
        "attend");
  return bytes >= 2 * (Tile<128>::Bytes(128 + 2 * kTokens) + 1024) ? 128 : 64;
}

}  // namespace

size_t AttendWorkspaceBytes(const AttendParams& p) {
  const int64_t tiles = BlockCount(p.q.dim(2), 64);
  return p.rows.empty() ? 0 : static_cast<size_t>(p.q.dim(0) * p.q.dim(1) * tiles) * sizeof(int);
}

void Attend(const AttendParams& p, void* workspace, cudaStream_t stream) {
  const int rows = RowsOf(p);
  const int64_t heads = p.q.dim(0) * p.q.dim(1);
  Args args = {.scope = ScopeOf(p.q, p.k, p.block, p.mask, p.rows, {}),
               .q = HeadsOf<const BFloat16>(p.q),
               .k = HeadsOf<const BFloat16>(p.k),
               .v = HeadsOf<const BFloat16>(p.v),
               .o = HeadsOf<BFloat16>(p.o),
               .lse = HeadsOf<float>(p.lse),
               .tiles = static_cast<int>(BlockCount(p.q.dim(2), rows)),
               .order = nullptr,
               .c = p.scale * kLog2E};
  args.unit = static_cast<float>(double{p.scale} / double{args.c});
  if (!p.rows.empty()) {
    LongestFirst(args.scope.row_ptr,
                 {.heads = static_cast<int>(heads),
                  .blocks = args.scope.t_q,
                  .tiles = args.tiles,
                  .tiles_per_block = (args.scope.block_q + rows - 1) / rows},
                 static_cast<int*>(workspace), stream);
    args.order = static_cast<int*>(workspace);
  }
  if (p.q.dim(3) == 64) {
    rows == 64 ? Launch<64, 64>(args, heads, stream) : Launch<64, 128>(args, heads, stream);
  } else {
    rows == 64 ? Launch<128, 64>(args, heads, stream) : Launch<128, 128>(args, heads, stream);
  }
}

}  // namespace suffice::cuda::mma
