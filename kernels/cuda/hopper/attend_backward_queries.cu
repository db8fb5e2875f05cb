// SPDX-License-Identifier: Apache-2.0
// dq of block-sparse attention on Hopper (step 5 of kernels/attention.h), by the lists of the query
// blocks: no atomics, every row has one owner. Per listed sub-block of 64 keys, and per warpgroup
// of 64 queries:
//
//   S = Q K^T    dP = dO V^T       while the previous step's dQ += dS K runs
//   P = 2^(c S - lse2)             recomputed from the log-sum-exp
//   dS = P (dP - delta)            rounded to bf16 for the product
//
// and at the end dq = scale dQ. The form is that of attend.cu: a scout, a producer, and kGroups
// warpgroups that share the keys.
#include "kernels/cuda/hopper/attend_backward_args.h"
#include "kernels/cuda/hopper/entries.h"
#include "kernels/cuda/hopper/tiles.h"
#include "kernels/cuda/launch_next.h"

namespace suffice::cuda::hopper {
namespace {

// K stays a step longer than V: dQ += dS K comes last.
constexpr int kValueStages(int groups) { return groups == 2 ? 3 : 2; }
constexpr int kKeyStages(int groups) { return groups == 2 ? 4 : 2; }

template <int kDim, int kGroups>
struct alignas(1024) Shared {
  static constexpr int kQueries = kGroups * kGroupRows;
  static constexpr int kKeys = kKeyStages(kGroups), kValues = kValueStages(kGroups);
  BFloat16 q[kQueries * kDim], d_o[kQueries * kDim];
  BFloat16 k[kKeys][kSubBlock * kDim];
  BFloat16 v[kValues][kSubBlock * kDim];
  BFloat16 dq[kGroups][kGroupRows * kDim];
  alignas(16) float lse2[kQueries], delta[kQueries];
  WorkItem item;
  int first_key[kKeys];
  int arrived[kGroups];
  Trail trail;
  Barrier q_full, q_empty, k_full[kKeys], k_empty[kKeys], v_full[kValues], v_empty[kValues];
};

enum Named { kGroup = 1 };  // one barrier per warpgroup

template <int kDim, int kGroups>
struct Producer {
  using Tiles = Shared<kDim, kGroups>;
  static constexpr int kTileBytes = kSubBlock * kDim * static_cast<int>(sizeof(BFloat16));

  const GradientArgs& args;
  Tiles& shared;
  RingPlace<Tiles::kKeys> k_place = {};
  RingPlace<Tiles::kValues> v_place = {};
  uint32_t q_parity = 0;

  // Hands an item to the consumers, with its queries.
  __device__ void Publish(const WorkItem& item, const Place& place) {
    Wait(shared.q_empty, q_parity ^ 1);
    q_parity ^= 1;
    shared.item = item;
    if (item.row < 0 || item.count == 0) {
      Arrive(shared.q_full);
      return;
    }
    constexpr int kRows = Tiles::kQueries, kStatisticBytes = kRows * sizeof(float);
    ArriveExpecting(shared.q_full, 2 * sizeof(shared.q) + 2 * kStatisticBytes);
    const int first = place.block * kRows;
    LoadRows<kDim, kRows>(args.q, shared.q, shared.q_full, first, place.head, place.batch);
    LoadRows<kDim, kRows>(args.d_o, shared.d_o, shared.q_full, first, place.head, place.batch);
    const int64_t at =
        int64_t{place.batch * args.heads + place.head} * args.statistics.padded + first;
    LoadBytes(args.statistics.lse2 + at, shared.lse2, kStatisticBytes, shared.q_full);
    LoadBytes(args.statistics.delta + at, shared.delta, kStatisticBytes, shared.q_full);
  }

  __device__ void LoadKey(const Place& place, int key) {
    const int head = place.head / args.heads_per_key_head;
    const int s = k_place.stage;
    Wait(shared.k_empty[s], k_place.parity ^ 1);
    shared.first_key[s] = key;
    ArriveExpecting(shared.k_full[s], kTileBytes);
    LoadRows<kDim, kSubBlock>(args.k, shared.k[s], shared.k_full[s], key, head, place.batch);
    k_place.Next();
    const int t = v_place.stage;
    Wait(shared.v_empty[t], v_place.parity ^ 1);
    ArriveExpecting(shared.v_full[t], kTileBytes);
    LoadRows<kDim, kSubBlock>(args.v, shared.v[t], shared.v_full[t], key, head, place.batch);
    v_place.Next();
  }

  __device__ void Run() {
    Follower follower(shared.trail);
    while (true) {
      const Batch& batch = follower.Next();
      const Place place = PlaceOf(max(batch.item.row, 0), args.heads, args.lists.blocks);
      if (batch.first == 0) Publish(batch.item, place);
      if (batch.item.row < 0) return;
      const int size = batch.size();
      for (int n = 0; n < size; ++n) LoadKey(place, batch.entries[n].token);
      follower.Done();
    }
  }
};

template <int kDim, int kGroups>
struct Consumer {
  using Tiles = Shared<kDim, kGroups>;
  using Scores = Accumulator<kSubBlock>;
  using Output = Accumulator<kDim>;
  static constexpr int kQueries = Tiles::kQueries;

  const GradientArgs& args;
  Tiles& shared;
  int group, thread;
  RingPlace<Tiles::kKeys> k_place = {}, last_k = {};
  RingPlace<Tiles::kValues> v_place = {};
  uint32_t q_parity = 0;

  __device__ int lane() const { return thread % 32; }
  __device__ int FirstRow() const { return thread / 32 * 16 + lane() / 4; }  // of the group's 64

  __device__ void StartScores(Scores& s, Scores& dp) {
    Wait(shared.k_full[k_place.stage], k_place.parity);
    Wait(shared.v_full[v_place.stage], v_place.parity);
    BeginProducts();
    const int rows = group * kGroupRows * kBoxColumns;
    StartAcross<kDim, kQueries, kSubBlock>(s, &shared.q[rows], shared.k[k_place.stage]);
    StartAcross<kDim, kQueries, kSubBlock>(dp, &shared.d_o[rows], shared.v[v_place.stage]);
    CommitProducts();
  }

  // Hides the keys of a step that a query may not see: their P becomes 0.
  __device__ void Hide(Scores& s, int q_first) const {
    const int first_key = shared.first_key[k_place.stage];
    // The same answer in the whole warpgroup.
    if (first_key + kSubBlock <= KeyLimit(args.lists, q_first)) return;
    const int limits[2] = {KeyLimit(args.lists, q_first + FirstRow()),
                           KeyLimit(args.lists, q_first + FirstRow() + 8)};
#pragma unroll
    for (int j = 0; j < Scores::kSize; ++j) {
      const int key = first_key + j / 4 * 8 + lane() % 4 * 2 + j % 2;
      if (key >= limits[j / 2 % 2]) s.x[j] = -INFINITY;
    }
  }

  // S becomes dS.
  __device__ void ScoreGradient(Scores& s, const Scores& dp, const float (&lse2)[2],
                                const float (&delta)[2]) const {
#pragma unroll
    for (int j = 0; j < Scores::kSize; ++j) {
      const int r = j / 2 % 2;
      s.x[j] = Exp2(fmaf(s.x[j], args.c, -lse2[r])) * (dp.x[j] - delta[r]);
    }
  }

  __device__ void StartOutput(Output& dq, const Fragments<kSubBlock>& ds, bool add) {
    BeginProducts();
    StartAlong<kDim, kSubBlock>(dq, ds, shared.k[last_k.stage], add);
    CommitProducts();
  }

  __device__ void Gradient(const WorkItem& item, int q_first, Output& dq) {
    const int row = group * kGroupRows + FirstRow();
    const float lse2[2] = {shared.lse2[row], shared.lse2[row + 8]};
    const float delta[2] = {shared.delta[row], shared.delta[row + 8]};
    Scores s, dp;
    Fragments<kSubBlock> ds;
    const auto advance = [&] {
      last_k = k_place;
      k_place.Next();
      v_place.Next();
    };
    StartScores(s, dp);
    WaitProducts<0>();
    Pin(s);
    Pin(dp);
    Release(shared.v_empty[v_place.stage]);
    Hide(s, q_first);
    ScoreGradient(s, dp, lse2, delta);
    ToFragments(s, ds);
    advance();
    for (int n = 1; n < item.count; ++n) {
      StartScores(s, dp);
      StartOutput(dq, ds, n > 1);
      WaitProducts<1>();
      Pin(s);
      Pin(dp);
      Release(shared.v_empty[v_place.stage]);
      Hide(s, q_first);
      ScoreGradient(s, dp, lse2, delta);
      WaitProducts<0>();
      Pin(dq);
      Release(shared.k_empty[last_k.stage]);
      ToFragments(s, ds);
      advance();
    }
    Release(shared.q_empty);  // the next item's queries may come
    StartOutput(dq, ds, item.count > 1);
    WaitProducts<0>();
    Pin(dq);
    Release(shared.k_empty[last_k.stage]);
  }

  // The sum of a split row's parts, chunk after chunk: two threads a query, half of D each.
  __device__ void Merge(const SplitRow& split) const {
    const Place place = PlaceOf(split.row, args.heads, args.lists.blocks);
    const int row = group * kGroupRows + thread / 2;
    const int query = place.block * kQueries + row;
    if (query >= args.lists.n_q) return;
    const GradientRows& out = args.first_rows;
    BFloat16* to = out.data + place.batch * out.batch + place.head * out.head + query * out.token;
    const float* from = args.parts + (int64_t{split.slot} * kQueries + row) * kDim;
    StoreSum<kDim>(from, int64_t{kQueries} * kDim, split.chunks, thread % 2, to);
  }

  __device__ void Store(const Output& dq, const WorkItem& item, const Place& place, int q_first) {
    if (item.slot >= 0) {
      const int64_t row = int64_t{item.slot} * kQueries + group * kGroupRows;
      StorePart<kDim>(dq, args.parts + row * kDim, thread);
      SplitRow& split = args.schedule.splits[args.schedule.split_of_slot[item.slot]];
      if (IsLastChunk(split, group, thread, shared.arrived[group], kGroup + group)) Merge(split);
      return;
    }
    if (thread == 0) WaitStoresRead();
    SyncNamed(kGroup + group, kWarpgroup);
    WriteTile<kDim>(dq, shared.dq[group], thread);
    FenceForAsync();
    SyncNamed(kGroup + group, kWarpgroup);
    if (thread == 0) {
      StoreRows<kDim>(args.first, shared.dq[group], q_first, place.head, place.batch);
      CommitStores();
    }
  }

  __device__ void Run() {
    while (true) {
      Wait(shared.q_full, q_parity);
      q_parity ^= 1;
      const WorkItem item = shared.item;
      if (item.row < 0) break;
      const Place place = PlaceOf(item.row, args.heads, args.lists.blocks);
      const int q_first = place.block * kQueries + group * kGroupRows;
      Output dq;
      if (item.count > 0) {
        Gradient(item, q_first, dq);
#pragma unroll
        for (float& x : dq.x) x *= args.scale;
      } else {
#pragma unroll
        for (float& x : dq.x) x = 0.0f;
        Release(shared.q_empty);
      }
      Store(dq, item, place, q_first);
    }
    if (thread == 0) WaitStoresRead();
  }
};

// Registers of a producer and of a consumer: together what the CTA is launched with, 168 a thread
// of three warpgroups or 128 of two. One more, and setmaxnreg would wait for ever.
constexpr int kProducerRegisters = 40;
template <int kGroups>
constexpr int kConsumerRegisters = kGroups == 2 ? 232 : 216;

template <int kDim, int kGroups>
__global__ void __launch_bounds__(kWarpgroup*(kGroups + 1), kGroups == 2 ? 1 : 2)
    QueryGradientKernel(const __grid_constant__ GradientArgs args) {
  using Tiles = Shared<kDim, kGroups>;
  extern __shared__ __align__(1024) std::byte memory[];
  Tiles& shared = *reinterpret_cast<Tiles*>(memory);
  const int warpgroup = __shfl_sync(~0u, static_cast<int>(threadIdx.x) / kWarpgroup, 0);
  if (threadIdx.x == 0) {
    constexpr int kThreads = kWarpgroup * kGroups;
    Init(shared.trail);
    Init(shared.q_full, 1);
    Init(shared.q_empty, kThreads);
    for (int i = 0; i < Tiles::kKeys; ++i) {
      Init(shared.k_full[i], 1);
      Init(shared.k_empty[i], kThreads);
    }
    for (int i = 0; i < Tiles::kValues; ++i) {
      Init(shared.v_full[i], 1);
      Init(shared.v_empty[i], kThreads);
    }
    FenceInit();
  }
  __syncthreads();
  WaitForKernelBefore();
  if (warpgroup == 0) {
    ShrinkRegisters<kProducerRegisters>();
    const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
    if (warp == 0 && lane == 0) Producer<kDim, kGroups>{args, shared}.Run();
    if (warp == 1) Scout<false>(args.lists, args.schedule, 1, shared.trail, lane);
  } else {
    GrowRegisters<kConsumerRegisters<kGroups>>();
    const int thread = static_cast<int>(threadIdx.x) % kWarpgroup;
    Consumer<kDim, kGroups>{args, shared, warpgroup - 1, thread}.Run();
  }
}

template <int kDim, int kGroups>
void Launch(const GradientArgs& args, int workers, cudaStream_t stream) {
  constexpr int kBytes = sizeof(Shared<kDim, kGroups>);
  const auto kernel = &QueryGradientKernel<kDim, kGroups>;
  Check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kBytes),
        "attend_backward: dq");
  LaunchNext("attend_backward: dq", kernel, static_cast<unsigned>(workers),
             kWarpgroup * (kGroups + 1), kBytes, stream, args);
}

}  // namespace

void LaunchQueryGradient(const GradientArgs& args, int dim, int workers, cudaStream_t stream) {
  if (args.lists.block_q == 2 * kGroupRows) {
    dim == 128 ? Launch<128, 2>(args, workers, stream) : Launch<64, 2>(args, workers, stream);
  } else {
    dim == 128 ? Launch<128, 1>(args, workers, stream) : Launch<64, 1>(args, workers, stream);
  }
}

}  // namespace suffice::cuda::hopper
