// SPDX-License-Identifier: Apache-2.0
// dk and dv of block-sparse attention on Hopper (step 5 of kernels/attention.h), by the lists of
// the key blocks: no atomics, every sub-block of 64 keys has one owner, which sums over the query
// heads that share its key head in order. Per listed sub-block of 64 queries, all transposed:
//
//   S^T = K Q^T    dP^T = V dO^T
//   P^T = 2^(c S^T - lse2)    dS^T = P^T (dP^T - delta)
//   dV += P^T dO              dK += dS^T Q
//
// and at the end dk = scale dK. A CTA holds two workers, each of a warpgroup, a producer and a
// scout with a ring of its own: while one computes weights, the other's products run, and neither
// waits for the other's columns to end.
#include "kernels/cuda/hopper/attend_backward_args.h"
#include "kernels/cuda/hopper/entries.h"
#include "kernels/cuda/hopper/tiles.h"
#include "kernels/cuda/launch_next.h"

namespace suffice::cuda::hopper {
namespace {

constexpr int kWorkers = 2;  // of a CTA
constexpr int kStages = 2;

// k and v, once used, take dk and dv on their way out.
template <int kDim>
struct alignas(1024) Shared {
  BFloat16 k[kSubBlock * kDim], v[kSubBlock * kDim];
  BFloat16 q[kStages][kSubBlock * kDim], d_o[kStages][kSubBlock * kDim];
  alignas(16) float lse2[kStages][kSubBlock], delta[kStages][kSubBlock];
  WorkItem item;
  int first_key;  // of the item's sub-block that is in work
  int first_query[kStages];
  int arrived;
  Trail trail;
  Barrier k_full, k_empty, full[kStages], empty[kStages];
};

enum Named { kWorker = 1 };  // one barrier per worker

template <int kDim>
struct Producer {
  static constexpr int kTileBytes = kSubBlock * kDim * static_cast<int>(sizeof(BFloat16));
  static constexpr int kStatisticBytes = kSubBlock * static_cast<int>(sizeof(float));

  const GradientArgs& args;
  Shared<kDim>& shared;
  RingPlace<kStages> place = {};
  uint32_t k_parity = 0;

  __device__ void Publish(const WorkItem& item, const Place& at, int first_key) {
    Wait(shared.k_empty, k_parity ^ 1);
    k_parity ^= 1;
    shared.item = item;
    shared.first_key = first_key;
    if (item.row < 0 || item.count == 0) {
      Arrive(shared.k_full);
      return;
    }
    ArriveExpecting(shared.k_full, 2 * kTileBytes);
    LoadRows<kDim, kSubBlock>(args.k, shared.k, shared.k_full, first_key, at.head, at.batch);
    LoadRows<kDim, kSubBlock>(args.v, shared.v, shared.k_full, first_key, at.head, at.batch);
  }

  __device__ void LoadQueries(const Entry& entry, const Place& at) {
    const int s = place.stage;
    const int head = at.head * args.heads_per_key_head + entry.head;
    Wait(shared.empty[s], place.parity ^ 1);
    shared.first_query[s] = entry.token;
    ArriveExpecting(shared.full[s], 2 * kTileBytes + 2 * kStatisticBytes);
    LoadRows<kDim, kSubBlock>(args.q, shared.q[s], shared.full[s], entry.token, head, at.batch);
    LoadRows<kDim, kSubBlock>(args.d_o, shared.d_o[s], shared.full[s], entry.token, head, at.batch);
    const int64_t sequence = int64_t{at.batch * args.heads * args.heads_per_key_head + head};
    const int64_t row = sequence * args.statistics.padded + entry.token;
    LoadBytes(args.statistics.lse2 + row, shared.lse2[s], kStatisticBytes, shared.full[s]);
    LoadBytes(args.statistics.delta + row, shared.delta[s], kStatisticBytes, shared.full[s]);
    place.Next();
  }

  __device__ void Run() {
    Follower follower(shared.trail);
    while (true) {
      const Batch& batch = follower.Next();
      const Place at = PlaceOf(max(batch.item.row, 0), args.heads, args.lists.blocks);
      if (batch.first == 0) {
        Publish(batch.item, at, at.block * args.lists.block_k + batch.pass * kSubBlock);
      }
      if (batch.item.row < 0) return;
      const int size = batch.size();
      for (int n = 0; n < size; ++n) LoadQueries(batch.entries[n], at);
      follower.Done();
    }
  }
};

template <int kDim>
struct Consumer {
  using Scores = Accumulator<kSubBlock>;
  using Output = Accumulator<kDim>;

  const GradientArgs& args;
  Shared<kDim>& shared;
  int worker, thread;
  RingPlace<kStages> place = {};
  uint32_t k_parity = 0;

  __device__ int lane() const { return thread % 32; }
  __device__ int FirstRow() const { return thread / 32 * 16 + lane() / 4; }

  // Hides the queries of a step that may not see a key: their P becomes 0. Keys beyond the tensor
  // are rows of their own, which nobody reads.
  __device__ void Hide(Scores& s) const {
    const int first_key = shared.first_key;
    const int first_query = shared.first_query[place.stage];
    // The same answer in the whole warpgroup.
    if (!args.lists.causal || first_key + kSubBlock <= KeyLimit(args.lists, first_query)) return;
#pragma unroll
    for (int j = 0; j < Scores::kSize; ++j) {
      const int key = first_key + FirstRow() + j / 2 % 2 * 8;
      const int query = first_query + j / 4 * 8 + lane() % 4 * 2 + j % 2;
      if (key >= KeyLimit(args.lists, query)) s.x[j] = -INFINITY;
    }
  }

  // S^T becomes P^T, dP^T becomes dS^T.
  __device__ void Weights(Scores& s, Scores& dp) const {
#pragma unroll
    for (int j = 0; j < Scores::kSize; j += 4) {
      const int column = 2 * j + lane() % 4 * 2;
      const float2 lse2 = *reinterpret_cast<const float2*>(&shared.lse2[place.stage][column]);
      const float2 delta = *reinterpret_cast<const float2*>(&shared.delta[place.stage][column]);
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        float& x = s.x[j + i];
        x = Exp2(fmaf(x, args.c, -(i % 2 == 0 ? lse2.x : lse2.y)));
        dp.x[j + i] = x * (dp.x[j + i] - (i % 2 == 0 ? delta.x : delta.y));
      }
      asm volatile("" ::: "memory");  // the next statistics are not loaded before they are used
    }
  }

  __device__ void Gradient(Output& dk, Output& dv) {
    for (int n = shared.item.count; n > 0; --n) {
      const int stage = place.stage;
      Scores s, dp;
      Fragments<kSubBlock> p, ds;
      Wait(shared.full[stage], place.parity);
      BeginProducts();
      StartAcross<kDim, kSubBlock, kSubBlock>(s, shared.k, shared.q[stage]);
      StartAcross<kDim, kSubBlock, kSubBlock>(dp, shared.v, shared.d_o[stage]);
      CommitProducts();
      WaitProducts<0>();
      Pin(s);
      Pin(dp);
      Hide(s);
      Weights(s, dp);
      ToFragments(s, p);
      ToFragments(dp, ds);
      BeginProducts();
      StartAlong<kDim, kSubBlock>(dv, p, shared.d_o[stage], true);
      StartAlong<kDim, kSubBlock>(dk, ds, shared.q[stage], true);
      CommitProducts();
      WaitProducts<0>();
      Pin(dv);
      Pin(dk);
      Release(shared.empty[stage]);
      place.Next();
    }
  }

  __device__ float* PartOf(int slot, int part, int parts) const {
    return args.parts + (int64_t{slot} * parts + part) * 2 * kSubBlock * kDim;
  }

  // The sums of a split column's parts, chunk after chunk: two threads a key, half of D each.
  __device__ void Merge(const SplitRow& split, int part, int parts, const Place& at,
                        int first_key) const {
    const int row = thread / 2, key = first_key + row;
    if (key >= args.lists.n_k) return;
    const auto store = [&](const GradientRows& out, const float* from) {
      BFloat16* to = out.data + at.batch * out.batch + at.head * out.head + key * out.token;
      StoreSum<kDim>(from + row * kDim, int64_t{2 * kSubBlock} * kDim * parts, split.chunks,
                     thread % 2, to);
    };
    const float* from = PartOf(split.slot, part, parts);
    store(args.first_rows, from);
    store(args.second_rows, from + kSubBlock * kDim);
  }

  __device__ void Store(const Output& dk, const Output& dv, const WorkItem& item, int first_key) {
    const Place at = PlaceOf(item.row, args.heads, args.lists.blocks);
    if (item.slot >= 0) {
      const int parts = args.lists.block_k / kSubBlock;
      const int part = (first_key - at.block * args.lists.block_k) / kSubBlock;
      float* to = PartOf(item.slot, part, parts);
      StorePart<kDim>(dk, to, thread);
      StorePart<kDim>(dv, to + kSubBlock * kDim, thread);
      if (part + 1 == parts) {  // the chunk is done with its last part
        SplitRow& split = args.schedule.splits[args.schedule.split_of_slot[item.slot]];
        if (IsLastChunk(split, 0, thread, shared.arrived, kWorker + worker)) {
          for (int i = 0; i < parts; ++i) {
            Merge(split, i, parts, at, first_key + (i - part) * kSubBlock);
          }
        }
      }
      Release(shared.k_empty);
      return;
    }
    WriteTile<kDim>(dk, shared.k, thread);
    WriteTile<kDim>(dv, shared.v, thread);
    FenceForAsync();
    SyncNamed(kWorker + worker, kWarpgroup);
    if (thread == 0) {
      StoreRows<kDim>(args.first, shared.k, first_key, at.head, at.batch);
      StoreRows<kDim>(args.second, shared.v, first_key, at.head, at.batch);
      CommitStores();
      WaitStoresRead();
    }
    Release(shared.k_empty);
  }

  __device__ void Run() {
    while (true) {
      Wait(shared.k_full, k_parity);
      k_parity ^= 1;
      if (shared.item.row < 0) break;
      Output dk, dv;
#pragma unroll
      for (int i = 0; i < Output::kSize; ++i) dk.x[i] = dv.x[i] = 0.0f;
      Gradient(dk, dv);
#pragma unroll
      for (float& x : dk.x) x *= args.scale;
      // Read now, not kept in registers meanwhile.
      const WorkItem item = shared.item;
      const int first_key = shared.first_key;
      SyncNamed(kWorker + worker, kWarpgroup);  // everyone has read them, k and v
      Store(dk, dv, item, first_key);
    }
  }
};

// Registers of a producer and of a consumer: together what the CTA is launched with, 168 a thread
// of three warpgroups. One more, and setmaxnreg would wait for ever.
constexpr int kProducerRegisters = 56;
constexpr int kConsumerRegisters = 224;

template <int kDim>
__global__ void __launch_bounds__(kWarpgroup*(kWorkers + 1), 1)
    KeyGradientKernel(const __grid_constant__ GradientArgs args) {
  extern __shared__ __align__(1024) std::byte memory[];
  auto* const shared = reinterpret_cast<Shared<kDim>*>(memory);
  const int warpgroup = __shfl_sync(~0u, static_cast<int>(threadIdx.x) / kWarpgroup, 0);
  if (threadIdx.x < kWorkers) {
    Shared<kDim>& own = shared[threadIdx.x];
    Init(own.trail);
    Init(own.k_full, 1);
    Init(own.k_empty, kWarpgroup);
    for (int i = 0; i < kStages; ++i) {
      Init(own.full[i], 1);
      Init(own.empty[i], kWarpgroup);
    }
    FenceInit();
  }
  __syncthreads();
  WaitForKernelBefore();
  if (warpgroup == 0) {
    ShrinkRegisters<kProducerRegisters>();
    const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
    Shared<kDim>& own = shared[warp % kWorkers];
    if (warp < kWorkers) {
      if (lane == 0) Producer<kDim>{args, own}.Run();
    } else {
      const int parts = args.lists.block_k / kSubBlock;  // of a column, which follow each other
      Scout<true>(args.lists, args.schedule, parts, own.trail, lane);
    }
  } else {
    GrowRegisters<kConsumerRegisters>();
    const int worker = warpgroup - 1;
    Consumer<kDim>{args, shared[worker], worker, static_cast<int>(threadIdx.x) % kWarpgroup}.Run();
  }
}

template <int kDim>
void Launch(const GradientArgs& args, int workers, cudaStream_t stream) {
  constexpr int kBytes = kWorkers * sizeof(Shared<kDim>);
  const auto kernel = &KeyGradientKernel<kDim>;
  Check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kBytes),
        "attend_backward: dk, dv");
  const auto grid = static_cast<unsigned>(workers / kWorkers);
  LaunchNext("attend_backward: dk, dv", kernel, grid, kWarpgroup * (kWorkers + 1), kBytes, stream,
             args);
}

}  // namespace

void LaunchKeyGradient(const GradientArgs& args, int dim, int workers, cudaStream_t stream) {
  dim == 128 ? Launch<128>(args, workers, stream) : Launch<64>(args, workers, stream);
}

}  // namespace suffice::cuda::hopper
