// SPDX-License-Identifier: Apache-2.0
// What a producer warp does with a schedule: draws items, and walks their lists. All lanes call
// together and get the same answer.
#pragma once

#include "kernels/cuda/hopper/schedule.h"

namespace suffice::cuda::hopper {

// The next item; row < 0 when there is none. A row that was split is passed over: its chunks are
// items of their own.
__device__ __forceinline__ WorkItem NextItem(const ListSet& lists, const Schedule& schedule,
                                             int lane) {
  while (true) {
    int next = 0;
    if (lane == 0) next = atomicAdd(&schedule.counters->next, 1);
    next = __shfl_sync(~0u, next, 0);
    const int chunks = schedule.counters->chunks;
    if (next < chunks) return schedule.chunks[next];
    next -= chunks;
    if (next >= lists.rows) return {-1, 0, 0, -1};
    const WorkItem item = schedule.rows[next];
    if (item.count >= 0) return item;
  }
}

// The entries of an item in order. Each lane holds one of 32, and one of the 32 after them, so that
// the list's latency is never waited for.
template <bool kOfKeys>
class Entries {
 public:
  __device__ __forceinline__ Entries(const ListSet& lists, const WorkItem& item, int lane)
      : lists_(lists), item_(item), lane_(lane), now_(Read(lane)), ahead_(Read(32 + lane)) {}

  __device__ __forceinline__ Entry Next() {
    const int i = at_++ % 32;
    if (i == 0 && at_ > 1) {
      now_ = ahead_;
      ahead_ = Read(at_ - 1 + 32 + lane_);
    }
    return {__shfl_sync(~0u, now_.token, i), __shfl_sync(~0u, now_.head, i)};
  }

 private:
  __device__ __forceinline__ Entry Read(int n) const {
    return lists_.At<kOfKeys>(item_.row, item_.first + min(n, item_.count - 1));
  }

  const ListSet& lists_;
  const WorkItem item_;
  const int lane_;
  Entry now_, ahead_;
  int at_ = 0;
};

}  // namespace suffice::cuda::hopper
