// SPDX-License-Identifier: Apache-2.0
// full_lse. A CTA owns 64 of the chosen queries and walks all keys that one of them sees.
#include "kernels/cuda/plain/launch_plain.h"
#include "kernels/cuda/plain/tile.h"

namespace suffice::cuda::plain {
namespace {

template <class T>
struct Args {
  Scope scope;
  Heads<const T> q, k;
  const int64_t* row_ids;  // null: every row
  int64_t row_ids_stride;
  Heads<float> lse;
  int rows, dim;
  float scale;
};

template <class T>
__global__ void __launch_bounds__(kThreads) FullLseKernel(const Args<T> p) {
  __shared__ Shared shared;
  const Scope& scope = p.scope;
  const int tiles = (p.rows + kTile - 1) / kTile;
  const int b = static_cast<int>(blockIdx.x) / tiles / scope.heads;
  const int h = static_cast<int>(blockIdx.x) / tiles % scope.heads;
  const int first_row = static_cast<int>(blockIdx.x) % tiles * kTile;
  const Gathered<T> q = {p.q.Row(b, h, 0), p.q.token, shared.rows};
  const Gathered<T> k = {p.k.Row(b, h / scope.group, 0), p.k.token, shared.columns};
  if (threadIdx.x < kTile) {
    const int row = first_row + static_cast<int>(threadIdx.x);
    int token = row < p.rows ? row : -1;
    if (p.row_ids != nullptr && token >= 0)
      token = static_cast<int>(p.row_ids[row * p.row_ids_stride]);
    shared.rows[threadIdx.x] = token;
  }
  __syncthreads();

  int last_key[4], last_of_all = -1;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int t = shared.rows[4 * ThreadY() + i];
    last_key[i] = t < 0 ? -1 : LastKey(scope, t);
    last_of_all = max(last_of_all, last_key[i]);
  }
  Softmax softmax;
  const KeptBlocks all = {nullptr, 0, scope.n_k};  // of one key each
  for (int first = 0; __syncthreads_or(first <= last_of_all); first += kTile) {
    PutTokens(all, 1, scope.n_k, first, shared.columns);
    float s[4][4] = {};
    AddDots(q, k, p.dim, shared, s);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        const bool seen = first + 4 * ThreadX() + j <= last_key[i];
        s[i][j] = seen ? s[i][j] * p.scale : -INFINITY;
      }
    }
    float before[4];
    softmax.Add(s, before);
  }

#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int row = first_row + 4 * ThreadY() + i;
    const float sum = SumOverRow(softmax.sum[i]);
    if (row >= p.rows || ThreadX() != 0) continue;
    *p.lse.Row(b, h, row) = sum == 0.0f ? -INFINITY : softmax.max[i] + logf(sum);
  }
}

template <class T>
void Launch(const FullLseParams& p, cudaStream_t stream) {
  const auto rows = static_cast<int>(p.lse_full.dim(2));
  const auto tiles = static_cast<unsigned>(p.q.dim(0) * p.q.dim(1) * BlockCount(rows, kTile));
  if (tiles == 0) return;
  const Args<T> args = {.scope = ScopeOf(p.q, p.k, {}, p.mask, {}, {}),
                        .q = HeadsOf<const T>(p.q),
                        .k = HeadsOf<const T>(p.k),
                        .row_ids = static_cast<const int64_t*>(p.row_ids.data),
                        .row_ids_stride = p.row_ids.stride(0),
                        .lse = HeadsOf<float>(p.lse_full),
                        .rows = rows,
                        .dim = static_cast<int>(p.q.dim(3)),
                        .scale = p.scale};
  FullLseKernel<T><<<tiles, kThreads, 0, stream>>>(args);
  CheckLaunch("full_lse");
}

}  // namespace

void FullLse(const FullLseParams& params, cudaStream_t stream) {
  if (params.q.dtype == DType::kBF16) {
    Launch<BFloat16>(params, stream);
  } else {
    Launch<float>(params, stream);
  }
}

}  // namespace suffice::cuda::plain
