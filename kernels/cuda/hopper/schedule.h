// SPDX-License-Identifier: Apache-2.0
// Who does what when rows have lists of any length.
//
// The unit of length is the sub-block: 64 tokens of one listed block. Rows longer than twice
// L = max(64, all sub-blocks / (4 x workers)) are split into chunks of about L, so that no item
// is more than half of a worker's fair share, or 128 sub-blocks where that is more. Chunks come
// first, then the long rows of all sequences, those above 16 sub-blocks and twice the mean, then
// each sequence's others from long to short: a long one among the last would be waited for.
// Persistent workers draw from a counter in that order. Sequences follow each other, so that the
// operands of a few lie in the second-level cache.
//
// Partial results of chunks wait in slots; whoever finishes the last of a row's chunks merges them
// all in the order of the row. Which worker takes what never shows in the results.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "kernels/attention.h"

namespace suffice::cuda::hopper {

inline constexpr int kSubBlock = 64;        // tokens
inline constexpr int kChunksPerWorker = 4;  // of a fair share

// One sub-block of a row's list.
struct Entry {
  int token;  // its first
  int head;   // of those that the row sums over; 0 for a row of queries
};

// The lists of all rows of one kind as kernels read them: query blocks (b, h, i), which list key
// blocks, or key blocks (b, h_kv, j), which list query blocks, head after head of those that share
// the key head. Without lists, every allowed pair of blocks is kept.
struct ListSet {
  const int64_t* ptr = nullptr;  // null: dense
  const uint16_t* ids = nullptr;
  bool of_keys = false;
  bool causal = false;
  int rows = 0;
  int blocks = 0;                          // rows of a sequence, a (b, h) or (b, h_kv): T_q, or T_k
  int heads = 1;                           // lists of a row
  int sub_blocks = 1;                      // of a listed block
  int listed_blocks = 0, listed_size = 0;  // T_k and b_k, or T_q and b_q
  int n_q = 0, n_k = 0, block_q = 0, block_k = 0;

#ifdef __CUDACC__
  __device__ __forceinline__ int64_t List(int row, int head) const {
    return int64_t{row / blocks * heads + head} * blocks + row % blocks;
  }
  // Dense: the allowed blocks of one block, [begin, end).
  __device__ __forceinline__ int AllowedBegin(int block) const {
    if (!of_keys || !causal) return 0;
    const int first_query = block * block_k - (n_k - n_q);  // that sees the block's first key
    return first_query >= n_q ? listed_blocks : max(first_query, 0) / block_q;
  }
  __device__ __forceinline__ int AllowedEnd(int block) const {
    if (of_keys) return listed_blocks;
    return static_cast<int>(
        AttentionMask{causal}.AllowedBlocks(block, n_q, n_k, {block_q, block_k}));
  }
  __device__ __forceinline__ int Length(int row, int head) const {  // in sub-blocks
    const int block = row % blocks;
    const int64_t list = List(row, head);
    const int64_t kept = ptr != nullptr ? ptr[list + 1] - ptr[list]
                                        : int64_t{AllowedEnd(block) - AllowedBegin(block)};
    return static_cast<int>(kept) * sub_blocks;
  }
  __device__ __forceinline__ int Length(int row) const {
    int length = 0;
    for (int head = 0; head < heads; ++head) length += Length(row, head);
    return length;
  }
  // The n-th sub-block of a row of that kind.
  template <bool kOfKeys>
  __device__ __forceinline__ Entry At(int row, int n) const {
    int head = 0;
    for (; kOfKeys && head + 1 < heads; ++head) {
      const int length = Length(row, head);
      if (n < length) break;
      n -= length;
    }
    const int block = n / sub_blocks;
    const int begin = kOfKeys ? AllowedBegin(row % blocks) : 0;
    const int64_t list = kOfKeys ? List(row, head) : row;
    const int id = ptr != nullptr ? ids[ptr[list] + block] : begin + block;
    return {id * listed_size + (n - block * sub_blocks) * kSubBlock, head};
  }
#endif
};

// The lists of the query blocks, and of the key blocks, of q (B, H, N_q, D) and k (B, H_kv, N_k,
// D).
ListSet QueryLists(const View& q, const View& k, const BlockLists& lists, BlockSize block,
                   AttentionMask mask);
ListSet KeyLists(const View& q, const View& k, const BlockLists& lists, BlockSize block,
                 AttentionMask mask);

// Sub-blocks [first, first + count) of a row. slot >= 0: a chunk, whose result goes there; -1: all
// of the row.
struct alignas(16) WorkItem {
  int row, first, count, slot;
};

// A row that was split: its chunks are slots [slot, slot + chunks).
struct SplitRow {
  int row, slot, chunks;
  int arrived[2];  // finished chunks, as each of the item's warpgroups counts them
};

struct Counters {
  int chunks, splits, longs, next;
};

// Device memory of one schedule, inside a workspace.
struct Schedule {
  Counters* counters;
  WorkItem* rows;    // every row, in order; those that lie in the other lists have count -1
  WorkItem* longs;   // fewer than half of the rows
  WorkItem* chunks;  // at most max_slots
  SplitRow* splits;  // at most max_slots
  int* split_of_slot;
  int max_slots = 0;
};
int MaxSlots(int workers);
size_t ScheduleBytes(int64_t rows, int workers);
Schedule PlaceSchedule(void* memory, int64_t rows, int workers);

// Fills the schedule, in stream order, for a kernel that follows (launch_next.h).
void MakeSchedule(const ListSet& lists, const Schedule& schedule, int workers, cudaStream_t stream);

}  // namespace suffice::cuda::hopper
