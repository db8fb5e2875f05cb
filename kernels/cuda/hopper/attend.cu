// SPDX-License-Identifier: Apache-2.0
// Block-sparse attention forward on Hopper (step 4 of kernels/attention.h): the online softmax of
// FlashAttention-3 (Shah et al., arXiv 2407.08608) over gathered key blocks.
//
// A persistent CTA draws rows of the schedule: a scout warp reads their lists ahead, one producer
// thread copies Q, and K and V step by step, 128 keys of two listed sub-blocks a step, into rings
// of stages; each of kGroups warpgroups owns 64 queries, whose S, P and O stay in its registers:
//
//   S = Q K^T                    while the previous step's O += P V runs
//   m' = max(m, c max S)         c = scale log2 e; exponents are base 2 from here on
//   P = 2^(c S - m')             l = 2^(m - m') l + sum P
//   O = 2^(m - m') O
//
// and at the end o = O / l, lse = ln 2 m + log l. Two warpgroups take turns on the tensor cores:
// one's softmax hides under the other's products. Keys are masked only in steps that hold a key
// beyond the tensor or a causal bound, or the second half of an odd last step.
#include <cmath>

#include "kernels/cuda/hopper/attend_args.h"
#include "kernels/cuda/hopper/entries.h"
#include "kernels/cuda/hopper/tiles.h"
#include "kernels/cuda/launch_next.h"

namespace suffice::cuda::hopper {
namespace {

constexpr int kStepKeys = 2 * kSubBlock;
constexpr int kItems = 2;  // in work: the next one's queries come while this one ends
constexpr float kMinusInfinity = -INFINITY;

// Tiles of [D / 64][rows][64] bf16.
template <int kDim, int kGroups, int kStages>
struct alignas(1024) Shared {
  static constexpr int kQueries = kGroups * kGroupRows;
  BFloat16 q[kItems][kQueries * kDim];
  BFloat16 k[kStages][kStepKeys * kDim];
  BFloat16 v[kStages][kStepKeys * kDim];
  BFloat16 o[kGroups][kGroupRows * kDim];
  WorkItem item[kItems];
  int first_key[kStages][2];  // of each half of a step
  int arrived[kGroups];
  Trail trail;
  Barrier q_full[kItems], q_empty[kItems], k_full[kStages], k_empty[kStages], v_full[kStages],
      v_empty[kStages];
};

// Named barriers; 0 is that of __syncthreads().
enum Named { kTurn = 1, kGroup = 3 };  // each of one barrier per warpgroup

// --- the producer, one thread

template <class SharedTiles, int kDim, int kStages>
struct Producer {
  const AttendArgs& args;
  SharedTiles& shared;
  RingPlace<kStages> k_place = {}, v_place = {};
  RingPlace<kItems> q_place = {};

  // Hands an item to the consumers, with its queries.
  __device__ void Publish(const WorkItem& item, const Place& place) {
    const int i = q_place.stage;
    Wait(shared.q_empty[i], q_place.parity ^ 1);
    shared.item[i] = item;
    if (item.row < 0) {
      Arrive(shared.q_full[i]);
    } else {
      ArriveExpecting(shared.q_full[i], sizeof(shared.q[i]));
      LoadRows<kDim, SharedTiles::kQueries>(args.q, shared.q[i], shared.q_full[i],
                                            place.block * SharedTiles::kQueries, place.head,
                                            place.batch);
    }
    q_place.Next();
  }

  __device__ void Load(const CUtensorMap& map, BFloat16* stage, Barrier& full, const Place& place,
                       int first, int second) const {
    ArriveExpecting(full, kStepKeys * kDim * static_cast<int>(sizeof(BFloat16)));
    const int head = place.head / args.heads_per_key_head;
    LoadRows<kDim, kStepKeys>(map, stage, full, first, head, place.batch);
    LoadRows<kDim, kStepKeys>(map, stage + kSubBlock * kBoxColumns, full, second, head,
                              place.batch);
  }

  __device__ void LoadStep(const Place& place, int first, int second, int second_place) {
    const int s = k_place.stage;
    Wait(shared.k_empty[s], k_place.parity ^ 1);
    shared.first_key[s][0] = first;
    shared.first_key[s][1] = second_place;
    Load(args.k, shared.k[s], shared.k_full[s], place, first, second);
    k_place.Next();
  }

  // A step of zeros: keys beyond the tensor, which are hidden. Rows without keys have one, so that
  // consumers need no case for them.
  __device__ void LoadNothing(const Place& place, bool values) {
    const int beyond[2] = {args.lists.n_k, args.lists.n_k};
    LoadStep(place, beyond[0], beyond[1], kNoKey);
    if (values) LoadValues(place, beyond);
  }

  // The keys of a batch, K one step ahead of V: `last` has those whose V is due. An odd last step
  // copies its sub-block twice, since what is multiplied must be finite, and hides the second.
  __device__ void LoadKeys(const Batch& batch, const Place& place, int (&last)[2]) {
    const int size = batch.size();
    for (int n = 0; n < size; n += 2) {
      const bool whole = n + 1 < size;
      const int first = batch.entries[n].token;
      const int second = whole ? batch.entries[n + 1].token : first;
      LoadStep(place, first, second, whole ? second : kNoKey);
      if (batch.first + n > 0) LoadValues(place, last);
      last[0] = first;
      last[1] = second;
    }
    if (batch.is_last()) LoadValues(place, last);
  }

  __device__ void LoadValues(const Place& place, const int (&keys)[2]) {
    const int s = v_place.stage;
    Wait(shared.v_empty[s], v_place.parity ^ 1);
    Load(args.v, shared.v[s], shared.v_full[s], place, keys[0], keys[1]);
    v_place.Next();
  }

  __device__ void Run() {
    Follower follower(shared.trail);
    int last[2] = {};
    while (true) {
      const Batch& batch = follower.Next();
      const Place place = PlaceOf(max(batch.item.row, 0), args.heads, args.lists.blocks);
      if (batch.first == 0) Publish(batch.item, place);
      if (batch.item.row < 0) {
        LoadNothing(place, false);  // consumers start the first S of whatever comes
        return;
      }
      batch.item.count > 0 ? LoadKeys(batch, place, last) : LoadNothing(place, true);
      follower.Done();
    }
  }
};

// --- a consumer warpgroup

// What a thread keeps of its two queries, r and r + 8.
struct RowState {
  float m[2] = {kMinusInfinity, kMinusInfinity};  // base 2
  float l[2] = {0.0f, 0.0f};                      // of this thread's columns
  float alpha[2];                                 // of the last step
};

template <class SharedTiles, int kDim, int kGroups, int kStages>
struct Consumer {
  static constexpr int kQueries = SharedTiles::kQueries;
  using Scores = Accumulator<kStepKeys>;
  using Output = Accumulator<kDim>;

  const AttendArgs& args;
  SharedTiles& shared;
  int group, thread;
  RingPlace<kStages> k_place = {}, v_place = {};
  RingPlace<kItems> q_place = {};

  __device__ int lane() const { return thread % 32; }
  __device__ int FirstRow() const { return thread / 32 * 16 + lane() / 4; }  // of the group's 64

  // S = Q K^T, started.
  __device__ void StartScores(Scores& s) {
    Wait(shared.k_full[k_place.stage], k_place.parity);
    BeginProducts();
    StartAcross<kDim, kQueries, kStepKeys>(
        s, &shared.q[q_place.stage][group * kGroupRows * kBoxColumns], shared.k[k_place.stage]);
    CommitProducts();
  }

  // O += P V, started.
  __device__ void StartOutput(Output& o, const Fragments<kStepKeys>& p, bool add) {
    Wait(shared.v_full[v_place.stage], v_place.parity);
    BeginProducts();
    StartAlong<kDim, kStepKeys>(o, p, shared.v[v_place.stage], add);
    CommitProducts();
  }

  // Hides the keys of a step that a query may not see.
  __device__ void Hide(Scores& s, int q_first) const {
    const int* first = shared.first_key[k_place.stage];
    // The same answer in the whole warpgroup.
    if (max(first[0], first[1]) + kSubBlock <= KeyLimit(args.lists, q_first)) return;
    const int limits[2] = {KeyLimit(args.lists, q_first + FirstRow()),
                           KeyLimit(args.lists, q_first + FirstRow() + 8)};
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int key = first[half] + 2 * (lane() % 4);
#pragma unroll
      for (int j = 0; j < kSubBlock / 8; ++j) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          float& x = s.x[half * kSubBlock / 2 + 4 * j + i];
          if (key + 8 * j + i % 2 >= limits[i / 2]) x = kMinusInfinity;
        }
      }
    }
  }

  // S becomes P in place; m, l and alpha follow.
  __device__ void Softmax(Scores& s, RowState& row) const {
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      float top = s.x[2 * r];
#pragma unroll
      for (int j = 0; j < Scores::kSize; j += 4) {
        top = fmaxf(top, fmaxf(s.x[j + 2 * r], s.x[j + 2 * r + 1]));
      }
      top = fmaxf(top, __shfl_xor_sync(~0u, top, 1));
      top = fmaxf(top, __shfl_xor_sync(~0u, top, 2));
      const float m = fmaxf(row.m[r], top * args.c);
      // Without any key yet, subtracting -infinity would make NaN of the masked scores.
      const float reference = m == kMinusInfinity ? 0.0f : m;
      row.alpha[r] = Exp2(row.m[r] - reference);
      row.m[r] = m;
      float sum = 0.0f;
#pragma unroll
      for (int j = 0; j < Scores::kSize; j += 4) {
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          float& x = s.x[j + 2 * r + i];
          x = Exp2(fmaf(x, args.c, -reference));
          sum += x;
        }
      }
      row.l[r] = fmaf(row.l[r], row.alpha[r], sum);
    }
  }

  __device__ static void Rescale(Output& o, const RowState& row) {
#pragma unroll
    for (int j = 0; j < Output::kSize; ++j) o.x[j] *= row.alpha[j / 2 % 2];
  }

  // Two warpgroups issue their products in turn.
  __device__ void TakeTurn() const {
    if constexpr (kGroups == 2) SyncNamed(kTurn + group, 2 * kWarpgroup);
  }
  __device__ void GiveTurn() const {
    if constexpr (kGroups == 2) ArriveNamed(kTurn + 1 - group, 2 * kWarpgroup);
  }

  __device__ WorkItem WaitForItem() {
    Wait(shared.q_full[q_place.stage], q_place.parity);
    return shared.item[q_place.stage];
  }

  // All of an item but the last O += P V, whose P stays behind. The first S is under way.
  __device__ void Steps(int steps, int q_first, Scores& s, Fragments<kStepKeys>& p, Output& o,
                        RowState& row) {
    WaitProducts<0>();
    Pin(s);
    Hide(s, q_first);
    Release(shared.k_empty[k_place.stage]);
    k_place.Next();
    Softmax(s, row);
    ToFragments(s, p);
    for (int step = 1; step < steps; ++step) {
      TakeTurn();
      StartScores(s);
      StartOutput(o, p, step > 1);
      GiveTurn();
      WaitProducts<1>();
      Pin(s);
      Hide(s, q_first);
      Release(shared.k_empty[k_place.stage]);
      k_place.Next();
      Softmax(s, row);
      WaitProducts<0>();
      Pin(o);
      Release(shared.v_empty[v_place.stage]);
      v_place.Next();
      Rescale(o, row);
      ToFragments(s, p);
    }
  }

  __device__ void StoreLse(const Place& place, int query, float value) const {
    if (args.lse == nullptr || query >= args.lists.n_q) return;
    args.lse[place.batch * args.lse_batch + place.head * args.lse_head + query * args.lse_token] =
        value;
  }

  // Through shared memory, in the copy engine's layout.
  __device__ void StoreOutput(const Output& o, const Place& place, int q_first) const {
    BFloat16* const tiles = shared.o[group];
    if (thread == 0) WaitStoresRead();
    SyncNamed(kGroup + group, kWarpgroup);
    WriteTile<kDim>(o, tiles, thread);
    FenceForAsync();
    SyncNamed(kGroup + group, kWarpgroup);
    if (thread == 0) {
      StoreRows<kDim>(args.o, tiles, q_first, place.head, place.batch);
      CommitStores();
    }
  }

  // A chunk's part goes to its slot; the row's last chunk to finish merges them all.
  __device__ void FinishChunk(const Output& o, const float (&lse)[2], const WorkItem& item) {
    const int64_t slot_row = int64_t{item.slot} * kQueries + group * kGroupRows;
    StorePart<kDim>(o, args.partial_o + slot_row * kDim, thread);
    if (lane() % 4 == 0) {
      args.partial_lse[slot_row + FirstRow()] = lse[0];
      args.partial_lse[slot_row + FirstRow() + 8] = lse[1];
    }
    SplitRow& split = args.schedule.splits[args.schedule.split_of_slot[item.slot]];
    if (IsLastChunk(split, group, thread, shared.arrived[group], kGroup + group)) Merge(split);
  }

  // o = sum_i 2^(lse_i - lse) o_i, lse = log sum_i e^lse_i: two threads a query, half of D each.
  __device__ void Merge(const SplitRow& split) const {
    const Place place = PlaceOf(split.row, args.heads, args.lists.blocks);
    const int row = group * kGroupRows + thread / 2;
    const int query = place.block * kQueries + row;
    if (query >= args.lists.n_q) return;
    const auto lse_of = [&](int i) {
      return __ldcg(&args.partial_lse[int64_t{split.slot + i} * kQueries + row]);
    };
    float top = kMinusInfinity;
    for (int i = 0; i < split.chunks; ++i) top = fmaxf(top, lse_of(i));
    const float reference = top == kMinusInfinity ? 0.0f : top;
    float total = 0.0f;
    for (int i = 0; i < split.chunks; ++i) total += expf(lse_of(i) - reference);
    if (thread % 2 == 0) {
      StoreLse(place, query, total == 0.0f ? kMinusInfinity : reference + logf(total));
    }
    const float factor = total == 0.0f ? 0.0f : 1.0f / total;
    BFloat16* to =
        args.o_data + place.batch * args.o_batch + place.head * args.o_head + query * args.o_token;
    for (int d = thread % 2 * 2; d < kDim; d += 4) {
      float low = 0.0f, high = 0.0f;
      for (int i = 0; i < split.chunks; ++i) {
        const float weight = expf(lse_of(i) - reference) * factor;
        const float* from = args.partial_o + (int64_t{split.slot + i} * kQueries + row) * kDim + d;
        low = fmaf(weight, __ldcg(from), low);
        high = fmaf(weight, __ldcg(from + 1), high);
      }
      *reinterpret_cast<uint32_t*>(to + d) = Pair(low, high);
    }
  }

  // o and lse of an item, or a chunk's part.
  __device__ void Store(Output& o, RowState& row, const WorkItem& item, const Place& place,
                        int q_first) {
    float lse[2];
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      row.l[r] += __shfl_xor_sync(~0u, row.l[r], 1);
      row.l[r] += __shfl_xor_sync(~0u, row.l[r], 2);
      row.alpha[r] = row.l[r] == 0.0f ? 0.0f : 1.0f / row.l[r];
      lse[r] = row.l[r] == 0.0f ? kMinusInfinity : fmaf(row.m[r], args.unit, logf(row.l[r]));
    }
    Rescale(o, row);
    if (item.slot >= 0) {
      FinishChunk(o, lse, item);
      return;
    }
    if (lane() % 4 == 0) {
      StoreLse(place, q_first + FirstRow(), lse[0]);
      StoreLse(place, q_first + FirstRow() + 8, lse[1]);
    }
    StoreOutput(o, place, q_first);
  }

  // The first S of the next item follows the last O += P V of this one, under whose epilogue it
  // runs.
  __device__ void Run() {
    if (kGroups == 2 && group == 1) GiveTurn();  // the first turn is warpgroup 0's
    Scores s;
    WorkItem item = WaitForItem();
    TakeTurn();
    StartScores(s);
    GiveTurn();
    while (item.row >= 0) {
      const Place place = PlaceOf(item.row, args.heads, args.lists.blocks);
      const int q_first = place.block * kQueries + group * kGroupRows;
      const int steps = max(1, (item.count + 1) / 2);
      Output o;
      RowState row;
      Fragments<kStepKeys> p;
      Steps(steps, q_first, s, p, o, row);
      Release(shared.q_empty[q_place.stage]);  // the queries after the next may come
      q_place.Next();
      TakeTurn();
      StartOutput(o, p, steps > 1);
      const WorkItem next = WaitForItem();
      StartScores(s);
      GiveTurn();
      WaitProducts<1>();
      Pin(o);
      Release(shared.v_empty[v_place.stage]);
      v_place.Next();
      Store(o, row, item, place, q_first);
      item = next;
    }
    WaitProducts<0>();
    if (thread == 0) WaitStoresRead();
  }
};

// Registers of a producer and of a consumer: together what the CTA is launched with, 168 a thread
// of three warpgroups or 128 of two. One more, and setmaxnreg would wait for ever.
constexpr int kProducerRegisters = 40;
template <int kGroups>
constexpr int kConsumerRegisters = kGroups == 2 ? 232 : 216;

template <int kDim, int kGroups, int kStages>
__global__ void __launch_bounds__(kWarpgroup*(kGroups + 1), kGroups == 2 ? 1 : 2)
    AttendKernel(const __grid_constant__ AttendArgs args) {
  using SharedTiles = Shared<kDim, kGroups, kStages>;
  extern __shared__ __align__(1024) std::byte memory[];
  SharedTiles& shared = *reinterpret_cast<SharedTiles*>(memory);
  const int warpgroup = __shfl_sync(~0u, static_cast<int>(threadIdx.x) / kWarpgroup, 0);
  if (threadIdx.x == 0) {
    constexpr int kThreads = kWarpgroup * kGroups;  // each releases for itself
    Init(shared.trail);
    for (int i = 0; i < kItems; ++i) {
      Init(shared.q_full[i], 1);
      Init(shared.q_empty[i], kThreads);
    }
    for (int i = 0; i < kStages; ++i) {
      Init(shared.k_full[i], 1);
      Init(shared.v_full[i], 1);
      Init(shared.k_empty[i], kThreads);
      Init(shared.v_empty[i], kThreads);
    }
    FenceInit();
  }
  __syncthreads();
  WaitForKernelBefore();
  if (warpgroup == 0) {
    ShrinkRegisters<kProducerRegisters>();
    const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
    if (warp == 0 && lane == 0) Producer<SharedTiles, kDim, kStages>{args, shared}.Run();
    if (warp == 1) Scout<false>(args.lists, args.schedule, 1, shared.trail, lane);
  } else {
    GrowRegisters<kConsumerRegisters<kGroups>>();
    Consumer<SharedTiles, kDim, kGroups, kStages>{args, shared, warpgroup - 1,
                                                  static_cast<int>(threadIdx.x) % kWarpgroup}
        .Run();
  }
}

template <int kDim, int kGroups, int kStages>
void Launch(const AttendArgs& args, int workers, cudaStream_t stream) {
  constexpr int kBytes = sizeof(Shared<kDim, kGroups, kStages>);
  const auto kernel = &AttendKernel<kDim, kGroups, kStages>;
  Check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kBytes),
        "attend");
  LaunchNext("attend", kernel, static_cast<unsigned>(workers), kWarpgroup * (kGroups + 1), kBytes,
             stream, args);
}

}  // namespace

void LaunchAttend(const AttendArgs& args, int dim, int workers, cudaStream_t stream) {
  const bool wide = dim == 128;
  if (args.lists.block_q == 128) {
    wide ? Launch<128, 2, 2>(args, workers, stream) : Launch<64, 2, 4>(args, workers, stream);
  } else {
    wide ? Launch<128, 1, 1>(args, workers, stream) : Launch<64, 1, 2>(args, workers, stream);
  }
}

}  // namespace suffice::cuda::hopper
