// SPDX-License-Identifier: Apache-2.0
// attend_backward, plain form, in three kernels without atomics. With s = scale q k^T and
// p = exp(s - lse) computed anew where they are needed:
//
//   delta = rowsum(do o)        dp = do v^T        ds = scale p (dp - delta)
//   dq = ds k                   by rows: a CTA owns 64 queries and walks their kept keys
//   dv = p^T do, dk = ds^T q    by columns: a CTA owns 64 keys and walks the queries that keep
//                               them, of all heads of the key head's group in order
#include "kernels/cuda/plain/launch_plain.h"
#include "kernels/cuda/plain/tile.h"

namespace suffice::cuda::plain {
namespace {

template <class T>
struct Args {
  Scope scope;
  Heads<const T> q, k, v, o, d_o;
  Heads<T> dq, dk, dv;
  Heads<const float> lse;
  float* delta;  // [head][query]
  int dim;
  float scale;
};

// Zero for a query without keys, whose lse is -inf.
__device__ float Weight(float s, float lse) { return lse == -INFINITY ? 0.0f : expf(s - lse); }

// A warp per query.
template <class T>
__global__ void __launch_bounds__(kThreads) DeltaKernel(const Args<T> p, int64_t queries) {
  const int64_t query = (int64_t{blockIdx.x} * kThreads + threadIdx.x) / 32;
  if (query >= queries) return;
  const auto head = static_cast<int>(query / p.scope.n_q);
  const auto t = static_cast<int>(query % p.scope.n_q);
  const T* o = p.o.Row(head / p.scope.heads, head % p.scope.heads, t);
  const T* d_o = p.d_o.Row(head / p.scope.heads, head % p.scope.heads, t);
  float sum = 0.0f;
  for (int d = static_cast<int>(threadIdx.x) % 32; d < p.dim; d += 32) {
    sum = fmaf(ToFloat(o[d]), ToFloat(d_o[d]), sum);
  }
#pragma unroll
  for (int step = 1; step < 32; step *= 2) sum += __shfl_xor_sync(~0u, sum, step);
  if (threadIdx.x % 32 == 0) p.delta[query] = sum;
}

template <class T, int kChunks>
__global__ void __launch_bounds__(kThreads) DqKernel(const Args<T> p) {
  __shared__ Shared shared;
  const Scope& scope = p.scope;
  const OwnTile own = OwnTileOf(scope.block_q, scope.t_q, scope.n_q);
  if (own.begin >= own.end) return;
  const int b = own.head / scope.heads;
  const int h = own.head % scope.heads;
  const Gathered<T> q = {p.q.Row(b, h, 0), p.q.token, shared.rows};
  const Gathered<T> d_o = {p.d_o.Row(b, h, 0), p.d_o.token, shared.rows};
  const Gathered<T> k = {p.k.Row(b, h / scope.group, 0), p.k.token, shared.columns};
  const Gathered<T> v = {p.v.Row(b, h / scope.group, 0), p.v.token, shared.columns};
  PutTokens(own, shared.rows);

  float lse[4], delta[4];
  int last_key[4];
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int t = min(own.begin + 4 * ThreadY() + i, own.end - 1);
    lse[i] = *p.lse.Row(b, h, t);
    delta[i] = p.delta[int64_t{own.head} * scope.n_q + t];
    last_key[i] = LastKey(scope, t);
  }
  float dq[kChunks][4][4] = {};
  const KeptBlocks kept = RowBlocks(scope, own.head, own.block);
  for (int first = 0; first < kept.count * scope.block_k; first += kTile) {
    PutTokens(kept, scope.block_k, scope.n_k, first, shared.columns);
    float s[4][4] = {}, dp[4][4] = {};
    AddDots(q, k, p.dim, shared, s);
    AddDots(d_o, v, p.dim, shared, dp);
    float ds[4][4];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        const int key = shared.columns[4 * ThreadX() + j];
        const bool seen = key >= 0 && key <= last_key[i];
        const float weight = seen ? Weight(s[i][j] * p.scale, lse[i]) : 0.0f;
        ds[i][j] = p.scale * weight * (dp[i][j] - delta[i]);
      }
    }
    PutWeights(ds, shared);
    AddProduct(k, p.dim, shared, dq);
  }

#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int t = own.begin + 4 * ThreadY() + i;
    if (t < own.end) StoreRow(dq, i, 1.0f, p.dim, p.dq.Row(b, h, t));
  }
}

template <class T, int kChunks>
__global__ void __launch_bounds__(kThreads, 1) DkDvKernel(const Args<T> p) {
  __shared__ Shared shared;
  const Scope& scope = p.scope;
  const OwnTile own = OwnTileOf(scope.block_k, scope.t_k, scope.n_k);
  if (own.begin >= own.end) return;
  const int key_heads = scope.heads / scope.group;
  const int b = own.head / key_heads;
  const int key_head = own.head % key_heads;
  const Gathered<T> k = {p.k.Row(b, key_head, 0), p.k.token, shared.rows};
  const Gathered<T> v = {p.v.Row(b, key_head, 0), p.v.token, shared.rows};
  PutTokens(own, shared.rows);

  float dk[kChunks][4][4] = {}, dv[kChunks][4][4] = {};
  for (int h = key_head * scope.group; h < (key_head + 1) * scope.group; ++h) {
    const int head = b * scope.heads + h;
    const Gathered<T> q = {p.q.Row(b, h, 0), p.q.token, shared.columns};
    const Gathered<T> d_o = {p.d_o.Row(b, h, 0), p.d_o.token, shared.columns};
    const KeptBlocks kept = ColumnBlocks(scope, head, own.block);
    for (int first = 0; first < kept.count * scope.block_q; first += kTile) {
      PutTokens(kept, scope.block_q, scope.n_q, first, shared.columns);
      float s[4][4] = {}, dp[4][4] = {};
      AddDots(k, q, p.dim, shared, s);
      AddDots(v, d_o, p.dim, shared, dp);
      float weight[4][4], ds[4][4];
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        const int t = shared.columns[4 * ThreadX() + j];
        const float lse = t >= 0 ? *p.lse.Row(b, h, t) : -INFINITY;
        const float delta = t >= 0 ? p.delta[int64_t{head} * scope.n_q + t] : 0.0f;
        const int last_key = LastKey(scope, t);
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const bool seen = own.begin + 4 * ThreadY() + i <= last_key;
          weight[i][j] = seen ? Weight(s[i][j] * p.scale, lse) : 0.0f;
          ds[i][j] = p.scale * weight[i][j] * (dp[i][j] - delta);
        }
      }
      PutWeights(weight, shared);
      AddProduct(d_o, p.dim, shared, dv);
      PutWeights(ds, shared);
      AddProduct(q, p.dim, shared, dk);
    }
  }

#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int t = own.begin + 4 * ThreadY() + i;
    if (t >= own.end) continue;
    StoreRow(dk, i, 1.0f, p.dim, p.dk.Row(b, key_head, t));
    StoreRow(dv, i, 1.0f, p.dim, p.dv.Row(b, key_head, t));
  }
}

template <class T>
void Launch(const AttendBackwardParams& p, float* delta, cudaStream_t stream) {
  const Scope scope = ScopeOf(p.q, p.k, p.block, p.mask, p.rows, p.columns);
  const Args<T> args = {.scope = scope,
                        .q = HeadsOf<const T>(p.q),
                        .k = HeadsOf<const T>(p.k),
                        .v = HeadsOf<const T>(p.v),
                        .o = HeadsOf<const T>(p.o),
                        .d_o = HeadsOf<const T>(p.d_o),
                        .dq = HeadsOf<T>(p.dq),
                        .dk = HeadsOf<T>(p.dk),
                        .dv = HeadsOf<T>(p.dv),
                        .lse = HeadsOf<const float>(p.lse),
                        .delta = delta,
                        .dim = static_cast<int>(p.q.dim(3)),
                        .scale = p.scale};
  const int64_t heads = p.q.dim(0) * p.q.dim(1);
  const int64_t key_heads = p.k.dim(0) * p.k.dim(1);
  const int64_t queries = heads * scope.n_q;
  DeltaKernel<T>
      <<<static_cast<unsigned>(BlockCount(queries, kThreads / 32)), kThreads, 0, stream>>>(args,
                                                                                           queries);
  CheckLaunch("attend_backward: delta");
  const auto rows = static_cast<unsigned>(heads * scope.t_q * TilesPerBlock(scope.block_q));
  const auto columns = static_cast<unsigned>(key_heads * scope.t_k * TilesPerBlock(scope.block_k));
  WithChunks(p.q.dim(3), [&](auto chunks) {
    DqKernel<T, chunks.value><<<rows, kThreads, 0, stream>>>(args);
    CheckLaunch("attend_backward: dq");
    DkDvKernel<T, chunks.value><<<columns, kThreads, 0, stream>>>(args);
    CheckLaunch("attend_backward: dk, dv");
  });
}

}  // namespace

void AttendBackward(const AttendBackwardParams& params, float* delta, cudaStream_t stream) {
  if (params.q.dtype == DType::kBF16) {
    Launch<BFloat16>(params, delta, stream);
  } else {
    Launch<float>(params, delta, stream);
  }
}

}  // namespace suffice::cuda::plain
