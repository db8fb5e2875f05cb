// SPDX-License-Identifier: Apache-2.0
// Makes a schedule (schedule.h) in two launches: the counters are cleared, then a CTA per sequence
// splits its long rows and puts the others in order, by counting, of 256 classes of length. Rows
// take slots and places by atomics: which of them is first differs from run to run, and shows in no
// result.
#include "kernels/cuda/hopper/schedule.h"
#include "kernels/cuda/launch_next.h"

namespace suffice::cuda::hopper {
namespace {

constexpr int kThreads = 256;
constexpr int kMinChunk = 64;  // sub-blocks; even, as steps take two
constexpr int kMinLong = 16;   // sub-blocks
constexpr int kClasses = 256;  // of length, for the order within a sequence

// The sum of one value per thread.
__device__ int64_t SumOverBlock(int64_t value) {
  __shared__ unsigned long long sum;
  __syncthreads();
  if (threadIdx.x == 0) sum = 0;
  __syncthreads();
  atomicAdd(&sum, static_cast<unsigned long long>(value));
  __syncthreads();
  return static_cast<int64_t>(sum);
}

__device__ int64_t AllSubBlocks(const ListSet& lists) {
  const int64_t sequences = lists.rows / lists.blocks;
  if (lists.ptr != nullptr) {
    return lists.ptr[sequences * lists.heads * lists.blocks] * lists.sub_blocks;
  }
  int64_t sequence = 0;
  for (int i = threadIdx.x; i < lists.blocks; i += kThreads) sequence += lists.Length(i);
  return SumOverBlock(sequence) * sequences;
}

__device__ void Split(const Schedule& schedule, int row, int count, int chunk) {
  const int chunks = (count + chunk - 1) / chunk;
  const int length = ((count + chunks - 1) / chunks + 1) / 2 * 2;
  const int used = (count + length - 1) / length;
  const int slot = atomicAdd(&schedule.counters->chunks, used);
  const int split = atomicAdd(&schedule.counters->splits, 1);
  schedule.splits[split] = {row, slot, used, {0, 0}};
  for (int i = 0; i < used; ++i) {
    schedule.chunks[slot + i] = {row, i * length, min(length, count - i * length), slot + i};
    schedule.split_of_slot[slot + i] = split;
  }
}

// Counts of the classes to where each begins, by one warp.
__device__ void StartsOfClasses(int (&place)[kClasses]) {
  constexpr int kEach = kClasses / 32;
  const int lane = static_cast<int>(threadIdx.x);
  int counts[kEach], sum = 0;
  for (int i = 0; i < kEach; ++i) sum += counts[i] = place[lane * kEach + i];
  int start = sum;
  for (int step = 1; step < 32; step *= 2) {
    const int below = __shfl_up_sync(~0u, start, step);
    if (lane >= step) start += below;
  }
  start -= sum;
  for (int i = 0; i < kEach; ++i) {
    place[lane * kEach + i] = start;
    start += counts[i];
  }
}

__global__ void ClearKernel(Counters* counters) {
  LetNextKernelStart();
  *counters = {};
}

// One CTA per sequence: counts its rows by length, longest class first, and puts each at its place;
// those of the other lists come among the shortest.
__global__ void __launch_bounds__(kThreads)
    ScheduleKernel(const ListSet lists, const Schedule schedule, int workers) {
  __shared__ int place[kClasses];
  __shared__ int longs, next_long;
  LetNextKernelStart();
  WaitForKernelBefore();
  const int64_t all = AllSubBlocks(lists);
  const int64_t share = all / (int64_t{kChunksPerWorker} * workers);
  const int chunk = static_cast<int>(share < kMinChunk ? kMinChunk : share + 1);
  const int64_t mean = (all + lists.rows - 1) / lists.rows;
  const int first_row = static_cast<int>(blockIdx.x) * lists.blocks;
  const auto count_of = [&](int i) { return lists.Length(first_row + i); };
  const auto is_split = [&](int count) { return count > 2 * chunk; };
  const auto is_long = [&](int count) {
    return count > kMinLong && count > 2 * mean && !is_split(count);
  };
  const auto class_of = [&](int count) {  // 2 chunk is the longest
    return is_split(count) || is_long(count)
               ? kClasses - 1
               : kClasses - 1 - static_cast<int>(int64_t{count} * (kClasses - 1) / (2 * chunk));
  };

  place[threadIdx.x] = 0;
  if (threadIdx.x == 0) longs = 0;
  __syncthreads();
  for (int i = threadIdx.x; i < lists.blocks; i += kThreads) {
    const int count = count_of(i);
    atomicAdd(&place[class_of(count)], 1);
    if (is_long(count)) atomicAdd(&longs, 1);
  }
  __syncthreads();
  if (threadIdx.x < 32) StartsOfClasses(place);
  if (threadIdx.x == 0) next_long = atomicAdd(&schedule.counters->longs, longs);
  __syncthreads();
  for (int i = threadIdx.x; i < lists.blocks; i += kThreads) {
    const int row = first_row + i;
    const int count = count_of(i);
    if (is_split(count)) Split(schedule, row, count, chunk);
    if (is_long(count)) schedule.longs[atomicAdd(&next_long, 1)] = {row, 0, count, -1};
    const int at = atomicAdd(&place[class_of(count)], 1);
    schedule.rows[first_row + at] = {row, 0, is_split(count) || is_long(count) ? -1 : count, -1};
  }
}

}  // namespace

void MakeSchedule(const ListSet& lists, const Schedule& schedule, int workers,
                  cudaStream_t stream) {
  ClearKernel<<<1, 1, 0, stream>>>(schedule.counters);
  CheckLaunch("schedule");
  const auto sequences = static_cast<unsigned>(lists.rows / lists.blocks);
  LaunchNext("schedule", &ScheduleKernel, sequences, kThreads, 0, stream, lists, schedule, workers);
}

}  // namespace suffice::cuda::hopper
