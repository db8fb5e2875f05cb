// SPDX-License-Identifier: Apache-2.0
// Scores of pooled blocks in fp32, on tensor cores that multiply fp16.
//
// Rows of q and k are split into two fp16 numbers a value, high + low (split_rows.h), so that q k
// is high high + (high low + low high); low low is below what fp32 sums resolve. Tensor cores cut
// what they add to a sum: they sum 128 products at most, and those sums are added in rounded fp32.
// hopper/scores.cu is the form for Hopper's own products.
#include <algorithm>

#include "kernels/cuda/instructions.h"
#include "kernels/cuda/select/score_tiles.h"

namespace suffice::cuda {
namespace {

// Warps are kDown by two over a tile, each with 32 query blocks and kEights x 8 key blocks.
// kPlaces: CTAs that fit a Hopper multiprocessor. One fits 99 KB, which every GPU has. kBatch: rows
// of the query tile that a warp reads at once, as registers allow.
template <int kDimOfShape, int kDown, int kEightsOfShape, int kPlacesOfShape, int kBatchOfShape>
struct Shape {
  static constexpr int kDim = kDimOfShape, kPlaces = kPlacesOfShape, kBatch = kBatchOfShape;
  static constexpr int kSixteens = 2, kEights = kEightsOfShape;
  static constexpr int kWarps = 2 * kDown, kThreads = 32 * kWarps;
  static constexpr int kRows = kDown * 16 * kSixteens, kColumns = 2 * 8 * kEights;
  static_assert(ScoreBytes(kRows, kColumns, kDim) <= 99 * 1024);
};
constexpr int kShortDim = 64, kDeepDim = 128;  // dimensions up to these
template <int kDim>
using LargeShape = Shape<kDim, 4, 4, 2, 8>;
template <int kDim>
using SmallShape = Shape<kDim, 2, 4, 3, 16>;
using DeepShape = Shape<256, 2, 2, 2, 8>;
static_assert(LargeShape<kDeepDim>::kRows == kLargeScoreRows &&
              SmallShape<kDeepDim>::kRows == kSmallScoreRows);
constexpr int kFewTiles = 512;  // large ones: not enough of them to keep every multiprocessor busy

__device__ inline void MultiplyAdd(float (&sum)[4], const uint32_t (&a)[4], uint32_t b0,
                                   uint32_t b1) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%0, %1, %2, %3};"
      : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// Bytes of a row that tensor cores sum.
template <class S>
constexpr int kSummedBytes = 2 * std::min(S::kDim, 128);

// One warp's products of row bytes [begin, begin + kSummedBytes): added to sums[m][n] of its 16 x 8
// pieces of a tile.
template <class S>
__device__ void MultiplyTile(const SplitTile<S::kDim>& q, const SplitTile<S::kDim>& k, int warp_row,
                             int warp_column, int begin,
                             float (&sums)[S::kSixteens][S::kEights][4]) {
  constexpr int kM = S::kSixteens, kN = S::kEights, kPitch = 2 * S::kDim;
  const int lane = LaneId();
  // The row and piece whose address this lane gives to ldmatrix: rows then pieces for q, pieces
  // then rows for k. Sixteen rows on, pieces lie in the same order.
  const int q_at = SplitTile<S::kDim>::At(warp_row + lane % 16, lane / 16 * 16);
  const int k_at =
      SplitTile<S::kDim>::At(warp_column + lane / 16 * 8 + lane % 8, lane / 8 % 2 * 16);
  const uint32_t q_high_at = SharedAddress(q.high), q_low_at = SharedAddress(q.low);
  const uint32_t k_high_at = SharedAddress(k.high), k_low_at = SharedAddress(k.low);
#pragma unroll 1
  for (int byte = begin; byte < begin + kSummedBytes<S>; byte += 32) {
    uint32_t q_high[kM][4], q_low[kM][4];
#pragma unroll
    for (int m = 0; m < kM; ++m) {
      const auto at = static_cast<uint32_t>((q_at ^ byte) + 16 * m * kPitch);
      LoadMatrices(q_high_at + at, q_high[m]);
      LoadMatrices(q_low_at + at, q_low[m]);
    }
#pragma unroll
    for (int n = 0; n < kN; n += 2) {
      uint32_t k_high[4], k_low[4];
      const auto at = static_cast<uint32_t>((k_at ^ byte) + 8 * n * kPitch);
      LoadMatrices(k_high_at + at, k_high);
      LoadMatrices(k_low_at + at, k_low);
#pragma unroll
      for (int t = 0; t < 2 * kM; ++t) {
        MultiplyAdd(sums[t / 2][n + t % 2], q_high[t / 2], k_low[t % 2 * 2], k_low[t % 2 * 2 + 1]);
      }
#pragma unroll
      for (int t = 0; t < 2 * kM; ++t) {
        MultiplyAdd(sums[t / 2][n + t % 2], q_low[t / 2], k_high[t % 2 * 2], k_high[t % 2 * 2 + 1]);
      }
#pragma unroll
      for (int t = 0; t < 2 * kM; ++t) {
        MultiplyAdd(sums[t / 2][n + t % 2], q_high[t / 2], k_high[t % 2 * 2],
                    k_high[t % 2 * 2 + 1]);
      }
    }
  }
}

// The products of whole rows.
template <class S>
__device__ void MultiplyRows(const SplitTile<S::kDim>& q, const SplitTile<S::kDim>& k, int warp_row,
                             int warp_column, float (&sums)[S::kSixteens][S::kEights][4]) {
  MultiplyTile<S>(q, k, warp_row, warp_column, 0, sums);
#pragma unroll
  for (int begin = kSummedBytes<S>; begin < 2 * S::kDim; begin += kSummedBytes<S>) {
    float part[S::kSixteens][S::kEights][4] = {};
    MultiplyTile<S>(q, k, warp_row, warp_column, begin, part);
#pragma unroll
    for (int m = 0; m < S::kSixteens; ++m) {
#pragma unroll
      for (int n = 0; n < S::kEights; ++n) {
#pragma unroll
        for (int c = 0; c < 4; ++c) sums[m][n][c] += part[m][n][c];
      }
    }
  }
}

template <class S>
struct MmaForm : S, InPlace<S::kDim, S::kColumns / S::kWarps> {
  using Queries = SplitTile<S::kDim>;
  using Keys = Queries;
  struct Sums {
    float x[S::kSixteens][S::kEights][4] = {};
  };
  __device__ static int Row(int warp) { return warp / 2 * (16 * S::kSixteens); }
  __device__ static int Column(int warp) { return warp % 2 * (8 * S::kEights); }
  static constexpr int kEightRows = 2 * S::kSixteens, kRuns = S::kEights, kRun = 2;
  __device__ static int RunAt(int t, int r) { return 8 * r + 2 * t; }
  __device__ static float Sum(const Sums& sums, int m, int r, int c) {
    return sums.x[m / 2][r][m % 2 * 2 + c];
  }
  __device__ static void Written() {}
  __device__ static void Multiply(const Queries& q, const Keys& k, int warp, Sums& sums) {
    MultiplyRows<S>(q, k, Row(warp), Column(warp), sums.x);
  }
};

template <int kDim>
void LaunchSized(const ScoreArgs& a, int first, int end, int multiprocessors, cudaStream_t stream) {
  if (a.tile_rows == LargeShape<kDim>::kRows) {
    LaunchForm<MmaForm<LargeShape<kDim>>>(a, first, end, multiprocessors, stream);
  } else {
    LaunchForm<MmaForm<SmallShape<kDim>>>(a, first, end, multiprocessors, stream);
  }
}

}  // namespace

int ScoreTileRows(int dim, int64_t heads, int t_q, int t_k) {
  if (dim > kDeepDim) return DeepShape::kRows;
  using Large = LargeShape<kDeepDim>;
  const int64_t tiles = heads * ((t_q + Large::kRows - 1) / Large::kRows) *
                        ((t_k + Large::kColumns - 1) / Large::kColumns);
  return tiles > kFewTiles ? Large::kRows : SmallShape<kDeepDim>::kRows;
}

void LaunchScores(const ScoreArgs& args, int first, int end, int multiprocessors,
                  cudaStream_t stream) {
  if (args.dim <= kShortDim) {
    LaunchSized<kShortDim>(args, first, end, multiprocessors, stream);
  } else if (args.dim <= kDeepDim) {
    LaunchSized<kDeepDim>(args, first, end, multiprocessors, stream);
  } else {
    LaunchForm<MmaForm<DeepShape>>(args, first, end, multiprocessors, stream);
  }
}

}  // namespace suffice::cuda
