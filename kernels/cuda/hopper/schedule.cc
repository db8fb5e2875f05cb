// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/hopper/schedule.h"

namespace suffice::cuda::hopper {
namespace {

ListSet Common(const View& q, const View& k, const BlockLists& lists, BlockSize block,
               AttentionMask mask) {
  ListSet set;
  if (!lists.empty()) {
    set.ptr = lists.ptr.ptr<int64_t>();
    set.ids = lists.ids.ptr<uint16_t>();
  }
  set.causal = mask.causal;
  set.n_q = static_cast<int>(q.dim(2));
  set.n_k = static_cast<int>(k.dim(2));
  set.block_q = block.q;
  set.block_k = block.k;
  return set;
}

size_t Aligned(size_t bytes) { return (bytes + 127) / 128 * 128; }

}  // namespace

ListSet QueryLists(const View& q, const View& k, const BlockLists& lists, BlockSize block,
                   AttentionMask mask) {
  ListSet set = Common(q, k, lists, block, mask);
  set.blocks = static_cast<int>(BlockCount(set.n_q, block.q));
  set.rows = static_cast<int>(q.dim(0) * q.dim(1)) * set.blocks;
  set.listed_blocks = static_cast<int>(BlockCount(set.n_k, block.k));
  set.listed_size = block.k;
  set.sub_blocks = block.k / kSubBlock;
  return set;
}

ListSet KeyLists(const View& q, const View& k, const BlockLists& lists, BlockSize block,
                 AttentionMask mask) {
  ListSet set = Common(q, k, lists, block, mask);
  set.of_keys = true;
  set.blocks = static_cast<int>(BlockCount(set.n_k, block.k));
  set.rows = static_cast<int>(k.dim(0) * k.dim(1)) * set.blocks;
  set.heads = static_cast<int>(q.dim(1) / k.dim(1));
  set.listed_blocks = static_cast<int>(BlockCount(set.n_q, block.q));
  set.listed_size = block.q;
  set.sub_blocks = block.q / kSubBlock;
  return set;
}

// A row of more than 2 L makes at most 1.5 / L chunks per sub-block.
int MaxSlots(int workers) { return 3 * kChunksPerWorker * workers / 2 + 1; }

size_t ScheduleBytes(int64_t rows, int workers) {
  const auto slots = static_cast<size_t>(MaxSlots(workers));
  return Aligned(sizeof(Counters)) + Aligned(static_cast<size_t>(rows) * sizeof(WorkItem)) +
         Aligned(static_cast<size_t>(rows / 2) * sizeof(WorkItem)) +
         Aligned(slots * sizeof(WorkItem)) + Aligned(slots * sizeof(SplitRow)) +
         Aligned(slots * sizeof(int));
}

Schedule PlaceSchedule(void* memory, int64_t rows, int workers) {
  Schedule schedule;
  schedule.max_slots = MaxSlots(workers);
  const auto slots = static_cast<size_t>(schedule.max_slots);
  auto* at = static_cast<std::byte*>(memory);
  const auto take = [&]<class T>(T*& pointer, size_t count) {
    pointer = reinterpret_cast<T*>(at);
    at += Aligned(count * sizeof(T));
  };
  take(schedule.counters, 1);
  take(schedule.rows, static_cast<size_t>(rows));
  take(schedule.longs, static_cast<size_t>(rows / 2));
  take(schedule.chunks, slots);
  take(schedule.splits, slots);
  take(schedule.split_of_slot, slots);
  return schedule;
}

}  // namespace suffice::cuda::hopper
