// SPDX-License-Identifier: Apache-2.0
// Hopper's own instructions under honest names: mbarriers, the bulk tensor copy engine (TMA),
// named barriers, register reallocation. wgmma is in wgmma.h. PTX ISA 8.0, target sm_90a.
#pragma once

#include <cuda.h>

#include <cstdint>

namespace suffice::cuda::hopper {

__device__ __forceinline__ uint32_t SharedAddress(const void* p) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(p));
}

// --- mbarriers: a phase ends when its arrivals and its expected bytes are complete.

struct alignas(8) Barrier {
  uint64_t word;
};

__device__ __forceinline__ void Init(Barrier& b, int arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(SharedAddress(&b)), "r"(arrivals));
}
// Initialised barriers become visible to the copy engine and to the other threads after a
// __syncthreads().
__device__ __forceinline__ void FenceInit() {
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}
__device__ __forceinline__ void Arrive(Barrier& b) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(SharedAddress(&b)) : "memory");
}
__device__ __forceinline__ void ArriveExpecting(Barrier& b, int bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(SharedAddress(&b)),
               "r"(bytes)
               : "memory");
}
// Returns when the phase of that parity has ended. A fresh barrier's phase -1 has: parity 1 passes.
__device__ __forceinline__ void Wait(Barrier& b, uint32_t parity) {
  asm volatile(
      "{\n"
      ".reg .pred done;\n"
      "again:\n"
      "mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
      "@done bra finished;\n"
      "bra again;\n"
      "finished:\n"
      "}\n" ::"r"(SharedAddress(&b)),
      "r"(parity)
      : "memory");
}

// A place in a ring of stages, and the parity of its use.
template <int kStages>
struct RingPlace {
  int stage = 0;
  uint32_t parity = 0;
  __device__ __forceinline__ void Next() {
    if (++stage == kStages) {
      stage = 0;
      parity ^= 1;
    }
  }
};

// --- the bulk tensor copy engine. Coordinates: (element, token, head, batch).

__device__ __forceinline__ void LoadBox(const CUtensorMap& map, void* to, Barrier& b, int element,
                                        int token, int head, int batch) {
  asm volatile(
      "cp.async.bulk.tensor.4d.shared::cluster.global.mbarrier::complete_tx::bytes"
      " [%0], [%1, {%3, %4, %5, %6}], [%2];" ::"r"(SharedAddress(to)),
      "l"(&map), "r"(SharedAddress(&b)), "r"(element), "r"(token), "r"(head), "r"(batch)
      : "memory");
}
// Bytes in a row, a multiple of 16 from and to multiples of 16.
__device__ __forceinline__ void LoadBytes(const void* from, void* to, int bytes, Barrier& b) {
  asm volatile(
      "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::
          "r"(SharedAddress(to)),
      "l"(from), "r"(bytes), "r"(SharedAddress(&b))
      : "memory");
}
// Rows beyond the tensor are not written.
__device__ __forceinline__ void StoreBox(const CUtensorMap& map, const void* from, int element,
                                         int token, int head, int batch) {
  asm volatile(
      "cp.async.bulk.tensor.4d.global.shared::cta.bulk_group [%0, {%2, %3, %4, %5}], [%1];" ::"l"(
          &map),
      "r"(SharedAddress(from)), "r"(element), "r"(token), "r"(head), "r"(batch)
      : "memory");
}
__device__ __forceinline__ void CommitStores() {
  asm volatile("cp.async.bulk.commit_group;" ::: "memory");
}
// Until this thread's stores have read their shared memory.
__device__ __forceinline__ void WaitStoresRead() {
  asm volatile("cp.async.bulk.wait_group.read 0;" ::: "memory");
}
// Ordinary writes to shared memory, made visible to the copy engine and to wgmma.
__device__ __forceinline__ void FenceForAsync() {
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

// --- named barriers: `threads` threads in all, some of which may only arrive.

__device__ __forceinline__ void SyncNamed(int barrier, int threads) {
  asm volatile("bar.sync %0, %1;" ::"r"(barrier), "r"(threads) : "memory");
}
__device__ __forceinline__ void ArriveNamed(int barrier, int threads) {
  asm volatile("bar.arrive %0, %1;" ::"r"(barrier), "r"(threads) : "memory");
}

// --- registers of a warpgroup, in multiples of 8

template <int kRegisters>
__device__ __forceinline__ void GrowRegisters() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kRegisters));
}
template <int kRegisters>
__device__ __forceinline__ void ShrinkRegisters() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kRegisters));
}

// --- four 8 x 8 matrices of bf16 from the registers of a warp: lane 8 i + r gives the address of
// row r of matrix i
__device__ __forceinline__ void StoreMatrices(void* row, uint32_t a, uint32_t b, uint32_t c,
                                              uint32_t d) {
  asm volatile(
      "stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(SharedAddress(row)),
      "r"(a), "r"(b), "r"(c), "r"(d)
      : "memory");
}

// 2^x, and two floats as a pair of bf16: weights for the next product, and the results that the
// attention kernels store. The hardware's rounding is the project's (lib/base/dtype.h) but for two
// kinds of values: it keeps subnormal numbers, and the bits of its NaN are 0x7FFF.
__device__ __forceinline__ float Exp2(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
__device__ __forceinline__ uint32_t Pair(float low, float high) {
  uint32_t pair;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  return pair;
}

}  // namespace suffice::cuda::hopper
