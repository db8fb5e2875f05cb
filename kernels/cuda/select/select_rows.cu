// SPDX-License-Identifier: Apache-2.0
// The choice of a row's blocks: a warp or a CTA a row, scores in registers. A row becomes one bit a
// block and a count; lists.cu makes lists of them.
//
// Masses are estimated (estimate.h); rows that leave a doubt, and those that are not held in
// registers, are chosen by exact masses (choose.h).
#include <cmath>

#include "kernels/cuda/launch_next.h"
#include "kernels/cuda/select/choose.h"
#include "kernels/cuda/select/estimate.h"
#include "kernels/cuda/select/rows.h"

namespace suffice::cuda {
namespace {

constexpr int kRowWarps = 4;    // of a CTA whose warps have a row each
constexpr int kRowCtas = 6;     // of those on a multiprocessor: 80 registers a thread
constexpr int kWideItems = 32;  // of a row that four warps share
constexpr int kLongWarps = 8;   // of a row that is not held

// Where a row is, and what is known of it beforehand.
struct Place {
  int row, b, h, i;
  int allowed;
  BlockSpan window;

  __device__ Place(const RowArgs& a, int at) : row(at) {
    const int head = row / a.geometry.t_q;
    i = row - head * a.geometry.t_q;
    b = head / a.heads;
    h = head - b * a.heads;
    allowed = a.geometry.AllowedBlocks(i);
    window = a.geometry.Window(i);
  }

  // Writes word `index` of the row and returns the number of its blocks.
  __device__ uint32_t Put(const RowArgs& a, int words, int index, uint32_t word) const {
    const int first = 32 * index;
    word |= SpanBits(a.geometry.pinned, first) | SpanBits(window, first);
    word &= SpanBits({0, allowed}, first);
    a.words[int64_t{row} * words + index] = word;
    return static_cast<uint32_t>(__popc(word));
  }
};

__device__ inline int WordCount(const RowArgs& a) { return (a.geometry.t_k + 31) / 32; }

// What every kernel here does before its rows.
__device__ void Begin(const RowArgs& a) {
  WaitForKernelBefore();
  LetNextKernelStart();
  const int64_t threads = int64_t{gridDim.x} * blockDim.x;
  for (int64_t n = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; n < a.clear_count;
       n += threads) {
    a.clear[n] = 0;
  }
}
__device__ void Fill(const RowArgs& a, float* scores, int allowed, int thread, int threads) {
  if (!a.fill) return;
  for (int j = allowed + thread; j < a.geometry.t_k; j += threads) scores[j] = -INFINITY;
}

// kItems = 0: a LongRow.
template <int kItems, int kWarps, bool kWeighs>
__global__ void __launch_bounds__(32 * (kWarps == 1 ? kRowWarps : kWarps),
                                  kWarps == 1 ? kRowCtas : 1)
    SelectRows(const __grid_constant__ RowArgs a) {
  constexpr int kGroups = kWarps == 1 ? kRowWarps : 1;
  __shared__ RowMemory<kWarps> memories[kGroups];
  Begin(a);
  const int member = kWarps == 1 ? Common(WarpId()) : 0;
  const int at = a.first_row + static_cast<int>(blockIdx.x) * kGroups + member;
  if (at >= a.end_row) return;  // the whole group
  const Place place(a, at);
  RowMemory<kWarps>& memory = memories[member];
  Group<kWarps> group(memory.group);
  const int lane = LaneId(), warp = group.warp();
  const int words = WordCount(a);
  const int warp_words = kItems > 0 ? kItems : (words + kWarps - 1) / kWarps;
  float* const scores = a.scores.At(place.b, place.h, place.i);
  Fill(a, scores, place.allowed, warp * 32 + lane, kWarps * 32);

  SelectSetting setting = a.setting;
  if (a.settings != nullptr) {
    setting = Clamped({Common(a.settings[2 * place.h]), Common(a.settings[2 * place.h + 1])});
  }
  const int first = warp * warp_words * 32;
  const int count = min(max(place.allowed - first, 0), warp_words * 32);
  const auto row = [&] {
    if constexpr (kItems > 0) {
      return HeldRow<kItems>(scores + first, count, lane);
    } else {
      return LongRow(scores + first, count, warp_words, lane);
    }
  }();
  Choice choice;
  uint32_t kept = 0;
  const auto put = [&](int n, uint32_t word) {
    const int index = 32 * n + lane;
    if (index < warp_words && warp * warp_words + index < words) {
      kept += place.Put(a, words, warp * warp_words + index, word);
    }
  };
  if (place.allowed > 0) {
    bool chosen = false;
    if constexpr (kItems > 0) {
      chosen = ChooseByEstimate<kWeighs>(row, memory, a.rule, setting, place.allowed, choice);
    }
    if (!chosen) {
      group.Sync();  // the estimate has read the memory that the choice writes
      LongRow again(scores + first, count, warp_words, lane);
      choice = Choose<kWeighs>(again, memory, a.rule, setting, place.allowed);
    }
  } else {
    choice.cut = {__builtin_nanf(""), -1};
  }
  const Cut cut = choice.cut;
  if (cut.ties < 0) {
    row.Words(
        lane, [&](int, float s) { return __ballot_sync(kAllLanes, s >= cut.threshold); }, put);
  } else {
    // The first of the blocks at the cut, in ascending order.
    const auto at_cut = [&](int i, float s) {
      const bool equal = choice.cut_in_nan ? !(s == s) : s == cut.threshold;
      return __ballot_sync(kAllLanes, equal && 32 * i + lane < count);
    };
    uint32_t ties = 0;
    row.Each([&](int i, float s) { ties += static_cast<uint32_t>(__popc(at_cut(i, s))); });
    int left = cut.ties - static_cast<int>(group.BeforeWarp(ties));
    row.Words(
        lane,
        [&](int i, float s) {
          const uint32_t equal = at_cut(i, s);
          const bool above = choice.cut_in_nan ? s == s : s > cut.threshold;
          const bool first_ones = __popc(equal & ((1u << lane) - 1)) < left;
          left -= __popc(equal);
          return __ballot_sync(kAllLanes, above || ((equal >> lane & 1) != 0 && first_ones));
        },
        put);
  }
  kept = group.template Sum<false>({kept, 0}).count;
  if (warp == 0 && lane == 0) a.counts[place.row] = kept | (choice.any_nan ? kNanBit : 0u);
}

// Rules that look at no score: a given mask, and every allowed block. A warp a row.
__global__ void __launch_bounds__(32 * kRowWarps) MarkRows(const __grid_constant__ RowArgs a) {
  Begin(a);
  const int at = a.first_row + static_cast<int>(blockIdx.x) * kRowWarps + WarpId();
  if (at >= a.end_row) return;
  const Place place(a, at);
  const int lane = LaneId(), words = WordCount(a);
  float* scores = nullptr;
  if (a.scores.data != nullptr) {
    scores = a.scores.At(place.b, place.h, place.i);
    Fill(a, scores, place.allowed, lane, 32);
  }
  const uint8_t* given = nullptr;
  if (a.rule == SelectRule::kMask) {
    given = a.given + place.b * a.given_batch + place.h * a.given_head + place.i * a.given_row;
  }
  bool nan = false;
  uint32_t kept = 0;
  for (int first = 0; first < words; first += 32) {
    uint32_t mine = 0;
    for (int n = 0; n < min(32, words - first); ++n) {
      const int j = 32 * (first + n) + lane;
      const bool allowed = j < place.allowed;
      if (scores != nullptr && allowed) nan = nan || isnan(scores[j]);
      const bool keep = allowed && (given == nullptr || given[j] != 0);
      const uint32_t word = __ballot_sync(kAllLanes, keep);
      if (lane == n) mine = word;
    }
    if (first + lane < words) kept += place.Put(a, words, first + lane, mine);
  }
  kept = __reduce_add_sync(kAllLanes, kept);
  nan = __any_sync(kAllLanes, nan);
  if (lane == 0) a.counts[place.row] = kept | (nan ? kNanBit : 0u);
}

template <int kItems, int kWarps>
void Launch(const RowArgs& a, unsigned rows, cudaStream_t stream) {
  constexpr unsigned kGroups = kWarps == 1 ? kRowWarps : 1;
  const auto kernel = a.rule == SelectRule::kTopK ? &SelectRows<kItems, kWarps, false>
                                                  : &SelectRows<kItems, kWarps, true>;
  LaunchNext("select: rows", kernel, (rows + kGroups - 1) / kGroups, 32 * kWarps * kGroups, 0,
             stream, a);
}

}  // namespace

void LaunchSelectRows(const RowArgs& a, cudaStream_t stream) {
  // One at least: it clears.
  const unsigned rows =
      a.end_row > a.first_row ? static_cast<unsigned>(a.end_row - a.first_row) : 1;
  const int t_k = a.geometry.t_k;
  if (a.rule == SelectRule::kMask || a.rule == SelectRule::kAll) {
    LaunchNext("select: rows", &MarkRows, (rows + kRowWarps - 1) / kRowWarps, 32 * kRowWarps, 0,
               stream, a);
  } else if (t_k <= 32 * 8) {
    Launch<8, 1>(a, rows, stream);
  } else if (t_k <= 32 * 16) {
    Launch<16, 1>(a, rows, stream);
  } else if (t_k <= 32 * 24) {
    Launch<24, 1>(a, rows, stream);
  } else if (t_k <= 32 * 40) {
    Launch<40, 1>(a, rows, stream);
  } else if (t_k <= 32 * 4 * kWideItems) {
    Launch<kWideItems, 4>(a, rows, stream);
  } else {
    Launch<0, kLongWarps>(a, rows, stream);
  }
}

}  // namespace suffice::cuda
