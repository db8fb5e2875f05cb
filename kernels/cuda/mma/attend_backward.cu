// SPDX-License-Identifier: Apache-2.0
// attend_backward, mma form: what it launches, and delta.
#include <cmath>

#include "kernels/cuda/mma/backward_args.h"
#include "kernels/cuda/mma/launch_mma.h"
#include "kernels/cuda/mma/order.h"
#include "kernels/cuda/mma/tile.h"

namespace suffice::cuda::mma {
namespace {

// Pieces of 16 bytes of a row of o and do, a lane each.
template <int kDim>
__global__ void __launch_bounds__(kThreads) RowStatsKernel(const BackwardArgs p) {
  constexpr int kPieces = Tile<kDim>::kPieces;
  const int64_t row = (int64_t{blockIdx.x} * kThreads + threadIdx.x) / kPieces;
  const int piece = static_cast<int>(threadIdx.x) % kPieces;
  const int padded = p.query_tiles * kTokens;
  const auto head = static_cast<int>(row / padded);
  const auto t = static_cast<int>(row % padded);
  const bool is_there = t < p.scope.n_q;
  float sum = 0.0f;
  if (is_there) {
    const int64_t first = piece * 8;
    const BFloat16* o = p.o.Row(head / p.scope.heads, head % p.scope.heads, t) + first;
    const BFloat16* d_o = p.d_o.Row(head / p.scope.heads, head % p.scope.heads, t) + first;
    const uint4 a = *reinterpret_cast<const uint4*>(o);
    const uint4 b = *reinterpret_cast<const uint4*>(d_o);
    const uint32_t x[4] = {a.x, a.y, a.z, a.w};
    const uint32_t y[4] = {b.x, b.y, b.z, b.w};
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      sum = fmaf(__uint_as_float(x[i] << 16), __uint_as_float(y[i] << 16), sum);
      sum = fmaf(__uint_as_float(x[i] & 0xFFFF0000u), __uint_as_float(y[i] & 0xFFFF0000u), sum);
    }
  }
#pragma unroll
  for (int step = 1; step < kPieces; step *= 2) sum += __shfl_xor_sync(~0u, sum, step);
  if (piece != 0) return;
  const float lse =
      is_there ? *p.lse.Row(head / p.scope.heads, head % p.scope.heads, t) : -INFINITY;
  p.stats[row] = {lse == -INFINITY ? INFINITY : lse * p.per_unit, sum};
}

int64_t QueryTiles(const AttendBackwardParams& p) {
  return p.q.dim(0) * p.q.dim(1) * BlockCount(p.q.dim(2), kTokens);
}
int64_t KeyTiles(const AttendBackwardParams& p) {
  return p.k.dim(0) * p.k.dim(1) * BlockCount(p.k.dim(2), kTokens);
}

template <int kDim>
void LaunchRowStats(const BackwardArgs& args, int64_t heads, cudaStream_t stream) {
  constexpr int kCtasPerTile = kTokens * Tile<kDim>::kPieces / kThreads;
  const auto ctas = static_cast<unsigned>(heads * args.query_tiles * kCtasPerTile);
  RowStatsKernel<kDim><<<ctas, kThreads, 0, stream>>>(args);
  CheckLaunch("attend_backward: delta");
}

}  // namespace

// Statistics of every query, then the two orders.
size_t AttendBackwardWorkspaceBytes(const AttendBackwardParams& p) {
  const auto stats = static_cast<size_t>(QueryTiles(p) * kTokens) * sizeof(RowStats);
  const auto orders = static_cast<size_t>(QueryTiles(p) + KeyTiles(p)) * sizeof(int);
  return stats + (p.rows.empty() ? 0 : orders);
}

void AttendBackward(const AttendBackwardParams& p, void* workspace, cudaStream_t stream) {
  const int64_t heads = p.q.dim(0) * p.q.dim(1);
  const int64_t key_heads = p.k.dim(0) * p.k.dim(1);
  BackwardArgs args = {.scope = ScopeOf(p.q, p.k, p.block, p.mask, p.rows, p.columns),
                       .q = HeadsOf<const BFloat16>(p.q),
                       .k = HeadsOf<const BFloat16>(p.k),
                       .v = HeadsOf<const BFloat16>(p.v),
                       .o = HeadsOf<const BFloat16>(p.o),
                       .d_o = HeadsOf<const BFloat16>(p.d_o),
                       .lse = HeadsOf<const float>(p.lse),
                       .dq = HeadsOf<BFloat16>(p.dq),
                       .dk = HeadsOf<BFloat16>(p.dk),
                       .dv = HeadsOf<BFloat16>(p.dv),
                       .stats = static_cast<RowStats*>(workspace),
                       .query_tiles = static_cast<int>(BlockCount(p.q.dim(2), kTokens)),
                       .key_tiles = static_cast<int>(BlockCount(p.k.dim(2), kTokens)),
                       .query_order = nullptr,
                       .key_order = nullptr,
                       .scale = p.scale,
                       .c = p.scale * kLog2E};
  args.per_unit = static_cast<float>(double{args.c} / double{p.scale});
  if (!p.rows.empty()) {
    const Scope& scope = args.scope;
    int* const query_order = reinterpret_cast<int*>(args.stats + QueryTiles(p) * kTokens);
    int* const key_order = query_order + QueryTiles(p);
    LongestFirst(scope.row_ptr,
                 {.heads = static_cast<int>(heads),
                  .blocks = scope.t_q,
                  .tiles = args.query_tiles,
                  .tiles_per_block = static_cast<int>(BlockCount(scope.block_q, kTokens))},
                 query_order, stream);
    LongestFirst(scope.column_ptr,
                 {.heads = static_cast<int>(key_heads),
                  .lists = scope.group,
                  .blocks = scope.t_k,
                  .tiles = args.key_tiles,
                  .tiles_per_block = static_cast<int>(BlockCount(scope.block_k, kTokens))},
                 key_order, stream);
    args.query_order = query_order;
    args.key_order = key_order;
  }
  const auto dim = static_cast<int>(p.q.dim(3));
  dim == 64 ? LaunchRowStats<64>(args, heads, stream) : LaunchRowStats<128>(args, heads, stream);
  LaunchQueries(args, dim, heads, stream);
  LaunchKeys(args, dim, key_heads, stream);
}

}  // namespace suffice::cuda::mma
