// SPDX-License-Identifier: Apache-2.0
// Instructions of sm_80 that C++ has no words for, as more than one family of kernels uses them.
#pragma once

#include <cstdint>

namespace suffice::cuda {

__device__ inline uint32_t SharedAddress(const void* memory) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(memory));
}

// 16 bytes into shared memory, in the background; zeros if they are not there to be read.
__device__ inline void CopyAsync(uint32_t to, const void* from, bool there) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from),
               "r"(there ? 16 : 0)
               : "memory");
}

// The same of kBytes: 16, or 8 or 4, which pass through L1.
template <int kBytes>
__device__ inline void CopyAsync(uint32_t to, const void* from, bool there) {
  if constexpr (kBytes == 16) {
    CopyAsync(to, from, there);
  } else {
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(to), "l"(from), "n"(kBytes),
                 "r"(there ? kBytes : 0)
                 : "memory");
  }
}

__device__ inline void CommitCopies() { asm volatile("cp.async.commit_group;" ::: "memory"); }

// Of this thread, all but the last kPending groups that were committed.
template <int kPending>
__device__ inline void WaitForCopies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
}

// Four 8 x 8 matrices. Lanes 8 i to 8 i + 7 give the addresses of the rows of matrix i, whose
// elements (g, 2 t) and (g, 2 t + 1) come to lane 4 g + t.
__device__ inline void LoadMatrices(uint32_t row, uint32_t (&x)[4]) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(x[0]), "=r"(x[1]), "=r"(x[2]), "=r"(x[3])
               : "r"(row)
               : "memory");
}

}  // namespace suffice::cuda
