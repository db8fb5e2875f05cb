// SPDX-License-Identifier: Apache-2.0
// From one bit a block to lists of ids. A CTA writes the lists of 32 rows; where they begin is the
// sum of all counts before, which the first CTAs add up and the others pass on: each publishes the
// sum of its own counts at once, and what lies before it as soon as it knows (decoupled look-back:
// Merrill and Garland, Single-pass Parallel Prefix Scan, NVIDIA NVR-2016-002). Sums of integers: no
// order shows.
#include <algorithm>

#include "kernels/cuda/launch_next.h"
#include "kernels/cuda/select/group.h"
#include "kernels/cuda/select/lists.h"
#include "kernels/cuda/select/rows.h"

namespace suffice::cuda {
namespace {

constexpr int kLists = 32;  // of a CTA: a lane each while they are counted
constexpr int kWarps = 8;
constexpr int kFewCounts = 8192;
constexpr int kManyIds = 256;  // of 32 words: then a word at a time is faster than a bit of each
constexpr int kListsOfWarp = kLists / kWarps;
constexpr int kHeldWords = 2;  // of a list, a lane: what is read before it is known where ids go

// The state of a CTA: what it has published, a NaN bit, and a sum.
constexpr uint64_t kOwn = uint64_t{1} << 62;   // the sum of its own counts
constexpr uint64_t kUpTo = uint64_t{2} << 62;  // the sum up to its own counts, with them
constexpr uint64_t kNan = uint64_t{1} << 61;   // some of these rows has a NaN
constexpr uint64_t kSumMask = kNan - 1;

__host__ __device__ inline int TilesOf(int lists) {
  return lists > 0 ? (lists + kLists - 1) / kLists : 1;
}

struct ListsArgs {
  ListJob rows, columns;
  int row_tiles, column_tiles;
  uint64_t* states;  // a ticket, then one of each CTA
  int32_t* nan_flag;
};

__device__ inline uint64_t LoadState(const uint64_t* state) {
  return *static_cast<const volatile uint64_t*>(state);
}
__device__ inline void StoreState(uint64_t* state, uint64_t value) {
  *static_cast<volatile uint64_t*>(state) = value;
}

// The sum of the first counts, a multiple of 4 of them, with kNan, in warp 0. By the whole CTA.
__device__ uint64_t SumOfFirst(const uint32_t* counts, int end) {
  __shared__ uint64_t sums[kWarps];
  uint64_t sum = 0;
  bool nan = false;
#pragma unroll 4
  for (int i = 4 * static_cast<int>(threadIdx.x); i < end; i += 4 * 32 * kWarps) {
    const uint4 four = *reinterpret_cast<const uint4*>(counts + i);
    sum += (four.x & ~kNanBit) + (four.y & ~kNanBit) + (four.z & ~kNanBit) + (four.w & ~kNanBit);
    nan = nan || ((four.x | four.y | four.z | four.w) & kNanBit) != 0;
  }
#pragma unroll
  for (int step = 16; step > 0; step /= 2) sum += __shfl_xor_sync(kAllLanes, sum, step);
  nan = __any_sync(kAllLanes, nan);
  if (LaneId() == 0) sums[WarpId()] = sum | (nan ? kNan : 0);
  __syncthreads();
  uint64_t all = 0;
  for (int w = 0; w < kWarps && threadIdx.x < 32; ++w) {
    all = ((all & kSumMask) + (sums[w] & kSumMask)) | ((all | sums[w]) & kNan);
  }
  return all;
}

// The sum of all counts before tile `tile`, with kNan. By one whole warp.
__device__ uint64_t LookBack(const uint64_t* states, int tile) {
  const int lane = LaneId();
  uint64_t sum = 0;
  for (int nearest = tile - 1; nearest >= 0; nearest -= 32) {
    const int at = nearest - lane;
    uint64_t state = kUpTo;  // nothing lies before the first
    do {
      if (at >= 0) state = LoadState(states + at);
    } while (__any_sync(kAllLanes, (state & (kOwn | kUpTo)) == 0));
    const unsigned whole = __ballot_sync(kAllLanes, (state & kUpTo) != 0);
    const int last = whole != 0 ? __ffs(static_cast<int>(whole)) - 1 : 31;
    uint64_t part = lane <= last ? state & kSumMask : 0;
#pragma unroll
    for (int step = 16; step > 0; step /= 2) part += __shfl_xor_sync(kAllLanes, part, step);
    const bool nan = __any_sync(kAllLanes, lane <= last && (state & kNan) != 0);
    sum = ((sum & kSumMask) + part) | (sum & kNan) | (nan ? kNan : 0);
    if (whole != 0) break;
  }
  return sum;
}

// The ids of 32 words of one list, from word `first` on and a lane each, by one warp. Returns how
// many they are.
__device__ uint32_t WriteIds(uint32_t word, int first, uint16_t* ids) {
  const int lane = LaneId();
  const auto bits = static_cast<uint32_t>(__popc(word));
  const uint32_t up_to = InclusiveScan(bits, lane);
  const uint32_t all = __shfl_sync(kAllLanes, up_to, 31);
  if (all > kManyIds) {
    for (int n = 0; n < 32; ++n) {
      const uint32_t other = __shfl_sync(kAllLanes, word, n);
      if ((other >> lane & 1) != 0) {
        ids[__popc(other & ((1u << lane) - 1))] = static_cast<uint16_t>(32 * (first + n) + lane);
      }
      ids += __popc(other);
    }
  } else {
    ids += up_to - bits;
    for (; word != 0; word &= word - 1) {
      *ids++ = static_cast<uint16_t>(32 * (first + lane) + __ffs(static_cast<int>(word)) - 1);
    }
    __syncwarp();
  }
  return all;
}

__global__ void __launch_bounds__(32 * kWarps) Lists(const __grid_constant__ ListsArgs a) {
  __shared__ int shared_ticket;
  __shared__ int64_t begins[kLists];
  WaitForKernelBefore();
  // CTAs number themselves in the order in which they come to run: none waits for one that has not
  // started.
  if (threadIdx.x == 0) {
    shared_ticket = static_cast<int>(atomicAdd(reinterpret_cast<unsigned*>(a.states), 1u));
  }
  __syncthreads();
  const int ticket = shared_ticket;
  const bool of_rows = ticket < a.row_tiles;
  const ListJob& job = of_rows ? a.rows : a.columns;
  const int tile = of_rows ? ticket : ticket - a.row_tiles;
  const int tiles = of_rows ? a.row_tiles : a.column_tiles;
  uint64_t* states = a.states + 1 + (of_rows ? 0 : a.row_tiles);
  const int first = tile * kLists;
  const int lane = LaneId();

  const auto word_of = [&](int list, int index) {
    return list < job.lists && index < job.words_per_list
               ? job.words[int64_t{list} * job.words_per_list + index]
               : 0u;
  };
  uint32_t held[kListsOfWarp][kHeldWords];
#pragma unroll
  for (int n = 0; n < kListsOfWarp; ++n) {
#pragma unroll
    for (int word = 0; word < kHeldWords; ++word) {
      held[n][word] = word_of(first + WarpId() + n * kWarps, 32 * word + lane);
    }
  }

  // Nobody waits for the tiles before these: they are few enough to add up.
  const bool adds_up = first <= kFewCounts;
  const uint64_t added = adds_up ? SumOfFirst(job.counts, first) : 0;
  if (WarpId() == 0) {
    const uint32_t count = first + lane < job.lists ? job.counts[first + lane] : 0;
    const uint32_t own = count & ~kNanBit;
    const uint32_t up_to = InclusiveScan(own, lane);
    const uint64_t nan = __any_sync(kAllLanes, (count & kNanBit) != 0) ? kNan : 0;
    const uint64_t sum = __shfl_sync(kAllLanes, up_to, 31);
    if (lane == 0 && !adds_up) StoreState(states + tile, kOwn | nan | sum);
    const uint64_t before = adds_up ? added : LookBack(states, tile);
    const uint64_t whole = (before + sum) | nan;
    if (lane == 0) StoreState(states + tile, kUpTo | whole);
    const auto begin = static_cast<int64_t>((before & kSumMask) + up_to - own);
    begins[lane] = begin;
    if (first + lane < job.lists) job.ptr[first + lane] = begin;
    if (tile == tiles - 1 && lane == 0) {
      job.ptr[job.lists] = static_cast<int64_t>(whole & kSumMask);
      if (of_rows && a.nan_flag != nullptr) *a.nan_flag = (whole & kNan) != 0 ? 1 : 0;
    }
  }
  __syncthreads();
#pragma unroll
  for (int n = 0; n < kListsOfWarp; ++n) {
    const int of_tile = WarpId() + n * kWarps;
    uint16_t* ids = job.ids + begins[of_tile];
#pragma unroll
    for (int word = 0; word < kHeldWords; ++word) {
      if (32 * word < job.words_per_list) ids += WriteIds(held[n][word], 32 * word, ids);
    }
    for (int word = 32 * kHeldWords; word < job.words_per_list; word += 32) {
      ids += WriteIds(word_of(first + of_tile, word + lane), word, ids);
    }
  }
}

// Of one CTA of the transposition: 4 words of key blocks, which neighbours in memory share, by 4
// warps that take turns at the words of query blocks.
constexpr int kWordColumns = 4;
constexpr int kWordRows = 4;

__global__ void __launch_bounds__(32 * kWordColumns * kWordRows)
    Transpose(const __grid_constant__ TransposeArgs a) {
  __shared__ uint32_t counts[kWordColumns][kWordRows][32];
  WaitForKernelBefore();
  LetNextKernelStart();
  const int words_k = (a.t_k + 31) / 32, words_q = (a.t_q + 31) / 32;
  const int across = (words_k + kWordColumns - 1) / kWordColumns;
  const int head = static_cast<int>(blockIdx.x) / across;
  const int column = WarpId() % kWordColumns, row = WarpId() / kWordColumns;
  const int word_k = (static_cast<int>(blockIdx.x) - head * across) * kWordColumns + column;
  const int lane = LaneId();
  const int j = 32 * word_k + lane;
  const bool exists = j < a.t_k;
  const uint32_t* from = a.rows + int64_t{head} * a.t_q * words_k + word_k;
  uint32_t* to = a.columns + (int64_t{head} * a.t_k + j) * words_q;
  uint32_t count = 0;
  for (int word_q = row; word_q < words_q && word_k < words_k; word_q += kWordRows) {
    const int i = 32 * word_q + lane;
    const uint32_t word = i < a.t_q ? from[int64_t{i} * words_k] : 0;
    uint32_t mine = 0;
#pragma unroll
    for (int bit = 0; bit < 32; ++bit) {
      const uint32_t across_rows = __ballot_sync(kAllLanes, (word >> bit & 1) != 0);
      if (lane == bit) mine = across_rows;
    }
    if (exists) to[word_q] = mine;
    count += static_cast<uint32_t>(__popc(mine));
  }
  counts[column][row][lane] = count;
  __syncthreads();
  if (row == 0 && exists) {
    for (int n = 1; n < kWordRows; ++n) count += counts[column][n][lane];
    a.counts[int64_t{head} * a.t_k + j] = count;
  }
}

}  // namespace

int64_t ListStates(int row_lists, int column_lists) {
  return 1 + int64_t{TilesOf(row_lists)} + TilesOf(column_lists);
}

void LaunchLists(const ListJob& rows, const ListJob& columns, uint64_t* states, int32_t* nan_flag,
                 cudaStream_t stream) {
  ListsArgs a;
  a.rows = rows;
  a.columns = columns;
  a.row_tiles = TilesOf(rows.lists);
  a.column_tiles = columns.ptr == nullptr ? 0 : TilesOf(columns.lists);
  a.states = states;
  a.nan_flag = nan_flag;
  const auto grid = static_cast<unsigned>(a.row_tiles + a.column_tiles);
  LaunchNext("select: lists", &Lists, grid, 32 * kWarps, 0, stream, a);
}

void LaunchTranspose(const TransposeArgs& args, cudaStream_t stream) {
  const int words_k = (args.t_k + 31) / 32;
  const int64_t grid = int64_t{args.heads} * ((words_k + kWordColumns - 1) / kWordColumns);
  if (grid == 0) return;
  LaunchNext("select: transpose", &Transpose, static_cast<unsigned>(grid),
             32 * kWordColumns * kWordRows, 0, stream, args);
}

}  // namespace suffice::cuda
