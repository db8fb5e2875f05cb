// SPDX-License-Identifier: Apache-2.0
// Scores of pooled blocks, as select/scores.cu makes them, by warpgroup products: the same three
// products of fp16 halves, summed in the same order. wgmma reads both operands from shared memory,
// so that threads are left with splitting rows and storing scores, which the other CTAs of a
// multiprocessor hide.
#include "kernels/cuda/hopper/scores.h"
#include "kernels/cuda/hopper/wgmma.h"
#include "kernels/cuda/select/score_tiles.h"

namespace suffice::cuda::hopper {
namespace {

// Rows of halves as wgmma reads them: panels of 64 columns, each kRows rows in the 128-byte
// swizzle.
template <int kRows>
struct Panels {
  char* high;
  char* low;
  float* unscale;

  __device__ static int At(int row, int byte) {
    return (byte & ~(kRowBytes - 1)) * kRows + row * kRowBytes +
           ((byte & (kRowBytes - 1)) ^ ((row & 7) << 4));
  }
};

// kGroups warpgroups, each with 64 query blocks and all 64 key blocks of a tile.
template <int kDimOfForm, int kGroups, int kPlacesOfForm, int kBatchOfForm>
struct WgmmaForm {
  static constexpr int kDim = kDimOfForm, kPlaces = kPlacesOfForm, kBatch = kBatchOfForm;
  static constexpr int kRows = 64 * kGroups, kColumns = 64, kThreads = 128 * kGroups;
  static constexpr int kSixteens = 1, kEights = 8;
  using Queries = Panels<kRows>;
  using Keys = Panels<kColumns>;
  using Sums = Accumulator<kColumns>;

  __device__ static int Row(int warp) { return 16 * warp; }
  __device__ static int Column(int) { return 0; }
  __device__ static float Sum(const Sums& sums, int, int n, int c) { return sums.x[4 * n + c]; }
  __device__ static void Written() { FenceForAsync(); }

  __device__ static void Multiply(const Queries& q, const Keys& k, int warp, Sums& sums) {
    const int first = warp / 4 * 64 * kRowBytes;  // of this warpgroup
    BeginProducts();
#pragma unroll
    for (int panel = 0; panel < kDim / 64; ++panel) {
      const int q_at = panel * kRows * kRowBytes + first, k_at = panel * kColumns * kRowBytes;
      const uint64_t q_high = KMajor(q.high + q_at), q_low = KMajor(q.low + q_at);
      const uint64_t k_high = KMajor(k.high + k_at), k_low = KMajor(k.low + k_at);
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const uint64_t step = i * kKMajorStep;
        MultiplyHalf(sums, q_high + step, k_low + step, panel + i > 0);
        MultiplyHalf(sums, q_low + step, k_high + step, true);
        MultiplyHalf(sums, q_high + step, k_high + step, true);
      }
    }
    CommitProducts();
    WaitProducts<0>();
    Pin(sums);
  }
};

template <int kDim>
void LaunchSized(const ScoreArgs& a, int first, int end, int multiprocessors, cudaStream_t stream) {
  using Large = WgmmaForm<kDim, 2, 2, 4>;
  using Small = WgmmaForm<kDim, 1, 3, 8>;
  static_assert(Large::kRows == kLargeScoreRows && Small::kRows == kSmallScoreRows);
  if (a.tile_rows == Large::kRows) {
    LaunchForm<Large>(a, first, end, multiprocessors, stream);
  } else {
    LaunchForm<Small>(a, first, end, multiprocessors, stream);
  }
}

}  // namespace

void LaunchScores(const ScoreArgs& args, int first, int end, int multiprocessors,
                  cudaStream_t stream) {
  if (args.dim <= 64) {
    LaunchSized<64>(args, first, end, multiprocessors, stream);
  } else {
    LaunchSized<kMostScoreDim>(args, first, end, multiprocessors, stream);
  }
}

}  // namespace suffice::cuda::hopper
