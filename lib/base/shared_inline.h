// SPDX-License-Identifier: Apache-2.0
// Functions that device code shares, and that files compiled for wider instruction sets include:
// they are always inlined, so that no such file leaves a copy behind for the others to be linked
// with.
#pragma once

#ifdef __CUDACC__
#define SUFFICE_SHARED_INLINE __host__ __device__ __forceinline__
#else
#define SUFFICE_SHARED_INLINE [[gnu::always_inline]] inline
#endif
