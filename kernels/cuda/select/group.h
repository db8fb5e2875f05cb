// SPDX-License-Identifier: Apache-2.0
// Sums, extremes and ranks over the warps that share a row: one warp, or all of a CTA.
#pragma once

#include "kernels/cuda/select/cut.h"

namespace suffice::cuda {

inline constexpr unsigned kAllLanes = 0xFFFFFFFFu;

__device__ inline int LaneId() { return static_cast<int>(threadIdx.x) % 32; }
__device__ inline int WarpId() { return static_cast<int>(threadIdx.x) / 32; }

// What all lanes have in common, as the compiler can tell: what depends on it alone is computed
// once a warp, and votes behind branches on it need no check of who takes part.
template <class T>
__device__ T Common(T x) {
  return __shfl_sync(kAllLanes, x, 0);
}

__device__ inline uint32_t InclusiveScan(uint32_t x, int lane) {
#pragma unroll
  for (int step = 1; step < 32; step *= 2) {
    const uint32_t before = __shfl_up_sync(kAllLanes, x, step);
    if (lane >= step) x += before;
  }
  return x;
}

// A lane's mass is below 2^38: 256 blocks at most.
template <bool kMass>
__device__ inline Tally WarpSum(Tally t) {
  Tally sum{__reduce_add_sync(kAllLanes, t.count), 0};
  if constexpr (kMass) {
    const uint32_t low = static_cast<uint32_t>(t.mass) & 0xFFFFFFu;
    sum.mass = uint64_t{__reduce_add_sync(kAllLanes, static_cast<uint32_t>(t.mass >> 24))} << 24;
    sum.mass += __reduce_add_sync(kAllLanes, low);
  }
  return sum;
}

template <int kWarps>
struct GroupMemory {
  uint64_t masses[kWarps];
  uint32_t values[2][kWarps];
};

// Every lane of the group calls every function, and gets the same answer where it is of the whole.
template <int kWarps>
class Group {
 public:
  __device__ explicit Group(GroupMemory<kWarps>& memory) : memory_(memory) {}

  __device__ static int warp() { return kWarps == 1 ? 0 : WarpId(); }
  __device__ static void Sync() {
    if constexpr (kWarps == 1) {
      __syncwarp();
    } else {
      __syncthreads();
    }
  }

  // Whether any lane's x is true. Also a Sync.
  __device__ static bool Any(bool x) {
    if constexpr (kWarps > 1) return __syncthreads_or(x ? 1 : 0) != 0;
    Sync();  // a vote orders no memory
    return __any_sync(kAllLanes, x) != 0;
  }

  template <bool kMass>
  __device__ Tally Sum(Tally lane_tally) {
    Tally sum = WarpSum<kMass>(lane_tally);
    if constexpr (kWarps > 1) {
      if (LaneId() == 0) {
        memory_.values[0][WarpId()] = sum.count;
        memory_.masses[WarpId()] = sum.mass;
      }
      Sync();
      sum = {};
      for (int n = 0; n < kWarps; ++n) {
        sum.count += memory_.values[0][n];
        sum.mass += memory_.masses[n];
      }
      Sync();  // before the next use of the memory
    }
    return sum;
  }

  // The largest `high` and the smallest `low`.
  __device__ void Extremes(uint32_t& high, uint32_t& low) {
    high = __reduce_max_sync(kAllLanes, high);
    low = __reduce_min_sync(kAllLanes, low);
    if constexpr (kWarps > 1) {
      if (LaneId() == 0) {
        memory_.values[0][WarpId()] = high;
        memory_.values[1][WarpId()] = low;
      }
      Sync();
      for (int n = 0; n < kWarps; ++n) {
        high = max(high, memory_.values[0][n]);
        low = min(low, memory_.values[1][n]);
      }
      Sync();
    }
  }

  // The sum of x over the warps before this one; x is the same in a whole warp.
  __device__ uint32_t BeforeWarp(uint32_t x) {
    uint32_t before = 0;
    if constexpr (kWarps > 1) {
      if (LaneId() == 0) memory_.values[0][WarpId()] = x;
      Sync();
      for (int n = 0; n < WarpId(); ++n) before += memory_.values[0][n];
      Sync();
    }
    return before;
  }

  // The sum of x over the lanes before this one.
  __device__ uint32_t Before(uint32_t x) {
    const uint32_t inclusive = InclusiveScan(x, LaneId());
    return inclusive - x + BeforeWarp(__shfl_sync(kAllLanes, inclusive, 31));
  }

 private:
  GroupMemory<kWarps>& memory_;
};

}  // namespace suffice::cuda
