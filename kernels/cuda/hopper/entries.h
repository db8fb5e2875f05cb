// SPDX-License-Identifier: Apache-2.0
// How the lists of a schedule come to the warp that copies tiles. From the counter to a list's
// first entry is a chain of five reads of global memory, longer than the copies that a ring has
// under way: a scout, a warp of its own, walks it one item ahead.
#pragma once

#include "kernels/cuda/hopper/ptx.h"
#include "kernels/cuda/hopper/schedule.h"

namespace suffice::cuda::hopper {

inline constexpr int kBatch = 16;   // entries; even, as steps of two keep together
inline constexpr int kBatches = 2;  // one in use, one ahead: an item drawn earlier than that is
                                    // kept from workers that may come to it sooner

// Entries [first, first + kBatch) of an item's list, those that there are: an empty list is one
// batch. Row < 0: there are no more items.
struct Batch {
  WorkItem item;
  int pass, first;
  Entry entries[kBatch];

  __device__ __forceinline__ int size() const { return min(item.count - first, kBatch); }
  __device__ __forceinline__ bool is_last() const { return first + kBatch >= item.count; }
};

// What lies between a scout and the thread that follows it, in shared memory.
struct Trail {
  Batch batches[kBatches];
  Barrier full[kBatches], empty[kBatches];
};

__device__ __forceinline__ void Init(Trail& trail) {
  for (int i = 0; i < kBatches; ++i) {
    Init(trail.full[i], 32);
    Init(trail.empty[i], 1);
  }
}

// The next item; row < 0 when there is none. Rows that lie in the other lists are passed over. By a
// whole warp.
__device__ __forceinline__ WorkItem NextItem(const ListSet& lists, const Schedule& schedule,
                                             int lane) {
  while (true) {
    int next = 0;
    if (lane == 0) next = atomicAdd(&schedule.counters->next, 1);
    next = __shfl_sync(~0u, next, 0);
    const int chunks = schedule.counters->chunks, longs = schedule.counters->longs;
    if (next < chunks) return schedule.chunks[next];
    next -= chunks;
    if (next < longs) return schedule.longs[next];
    next -= longs;
    if (next >= lists.rows) return {-1, 0, 0, -1};
    const WorkItem item = schedule.rows[next];
    if (item.count >= 0) return item;
  }
}

// Draws items to the end of the schedule and reads the list of each, `passes` times over. By a
// whole warp.
template <bool kOfKeys>
__device__ __forceinline__ void Scout(const ListSet& lists, const Schedule& schedule, int passes,
                                      Trail& trail, int lane) {
  RingPlace<kBatches> place;
  while (true) {
    Wait(trail.empty[place.stage], place.parity ^ 1);  // nothing is drawn before there is room
    const WorkItem item = NextItem(lists, schedule, lane);
    for (int pass = 0; pass < passes; ++pass) {
      int first = 0;
      do {
        Wait(trail.empty[place.stage], place.parity ^ 1);
        Batch& batch = trail.batches[place.stage];
        if (lane == 0) {
          batch.item = item;
          batch.pass = pass;
          batch.first = first;
        }
        if (lane < kBatch && first + lane < item.count) {
          batch.entries[lane] = lists.At<kOfKeys>(item.row, item.first + first + lane);
        }
        Arrive(trail.full[place.stage]);
        place.Next();
        first += kBatch;
      } while (first < item.count);
      if (item.row < 0) return;
    }
  }
}

// The other end of a trail. By one thread.
class Follower {
 public:
  __device__ __forceinline__ explicit Follower(Trail& trail) : trail_(trail) {}

  // The next batch, which stays until Done().
  __device__ __forceinline__ const Batch& Next() {
    Wait(trail_.full[place_.stage], place_.parity);
    return trail_.batches[place_.stage];
  }
  __device__ __forceinline__ void Done() {
    Arrive(trail_.empty[place_.stage]);
    place_.Next();
  }

 private:
  Trail& trail_;
  RingPlace<kBatches> place_;
};

}  // namespace suffice::cuda::hopper
