// SPDX-License-Identifier: Apache-2.0
// attend, plain form. A CTA owns 64 queries of one query block and walks the keys that the block
// keeps, 64 at a time:
//
//   s = scale q k^T     p = exp(s - max so far)     o = o exp(old max - max) + p v
//
// and at the end o /= sum p, lse = max + log sum p.
#include "kernels/cuda/plain/launch_plain.h"
#include "kernels/cuda/plain/tile.h"

namespace suffice::cuda::plain {
namespace {

template <class T>
struct Args {
  Scope scope;
  Heads<const T> q, k, v;
  Heads<T> o;
  Heads<float> lse;  // data null: not wanted
  int dim;
  float scale;
};

template <class T, int kChunks>
__global__ void __launch_bounds__(kThreads) AttendKernel(const Args<T> p) {
  __shared__ Shared shared;
  const Scope& scope = p.scope;
  const OwnTile own = OwnTileOf(scope.block_q, scope.t_q, scope.n_q);
  if (own.begin >= own.end) return;
  const int b = own.head / scope.heads;
  const int h = own.head % scope.heads;
  const Gathered<T> q = {p.q.Row(b, h, 0), p.q.token, shared.rows};
  const Gathered<T> k = {p.k.Row(b, h / scope.group, 0), p.k.token, shared.columns};
  const Gathered<T> v = {p.v.Row(b, h / scope.group, 0), p.v.token, shared.columns};
  PutTokens(own, shared.rows);

  Softmax softmax;
  float o[kChunks][4][4] = {};
  const KeptBlocks kept = RowBlocks(scope, own.head, own.block);
  for (int first = 0; first < kept.count * scope.block_k; first += kTile) {
    PutTokens(kept, scope.block_k, scope.n_k, first, shared.columns);
    float s[4][4] = {};
    AddDots(q, k, p.dim, shared, s);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int last_key = LastKey(scope, own.begin + 4 * ThreadY() + i);
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        const int key = shared.columns[4 * ThreadX() + j];
        s[i][j] = key >= 0 && key <= last_key ? s[i][j] * p.scale : -INFINITY;
      }
    }

    float before[4];
    softmax.Add(s, before);
#pragma unroll
    for (int chunk = 0; chunk < kChunks; ++chunk) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
#pragma unroll
        for (int j = 0; j < 4; ++j) o[chunk][i][j] *= before[i];
      }
    }
    PutWeights(s, shared);
    AddProduct(v, p.dim, shared, o);
  }

#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int t = own.begin + 4 * ThreadY() + i;
    const float sum = SumOverRow(softmax.sum[i]);
    if (t >= own.end) continue;
    StoreRow(o, i, sum == 0.0f ? 0.0f : 1.0f / sum, p.dim, p.o.Row(b, h, t));
    if (p.lse.data != nullptr && ThreadX() == 0) {
      *p.lse.Row(b, h, t) = sum == 0.0f ? -INFINITY : softmax.max[i] + logf(sum);
    }
  }
}

template <class T>
void Launch(const AttendParams& p, cudaStream_t stream) {
  const Scope scope = ScopeOf(p.q, p.k, p.block, p.mask, p.rows, {});
  const auto tiles =
      static_cast<unsigned>(p.q.dim(0) * p.q.dim(1) * scope.t_q * TilesPerBlock(scope.block_q));
  const Args<T> args = {.scope = scope,
                        .q = HeadsOf<const T>(p.q),
                        .k = HeadsOf<const T>(p.k),
                        .v = HeadsOf<const T>(p.v),
                        .o = HeadsOf<T>(p.o),
                        .lse = HeadsOf<float>(p.lse),
                        .dim = static_cast<int>(p.q.dim(3)),
                        .scale = p.scale};
  WithChunks(p.q.dim(3), [&](auto chunks) {
    AttendKernel<T, chunks.value><<<tiles, kThreads, 0, stream>>>(args);
  });
  CheckLaunch("attend");
}

}  // namespace

void Attend(const AttendParams& params, cudaStream_t stream) {
  if (params.q.dtype == DType::kBF16) {
    Launch<BFloat16>(params, stream);
  } else {
    Launch<float>(params, stream);
  }
}

}  // namespace suffice::cuda::plain
