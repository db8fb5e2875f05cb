// SPDX-License-Identifier: Apache-2.0
// Warpgroup matrix products: D (64 x N, fp32) += A (64 x 16) B (16 x N), bf16 or fp16,
// asynchronous.
//
// Operands in shared memory are tiles of 64 columns (128 bytes a row) in the copy engine's 128-byte
// swizzle, each at a multiple of 1024 bytes:
//   K-major   rows of the operand's N (or M), 64 columns of K: Q and K of S = Q K^T
//   MN-major  rows of K, 64 columns of N: V of O = P V
// wgmma reads them through descriptors: the tile's address, and the strides between groups of 8
// rows and between tiles.
//
// Accumulators, lane l of warp w: x[4 j + 0, 1] is row 16 w + l / 4, columns 8 j + 2 (l % 4) + 0,
// 1; x[4 j + 2, 3] the same columns 8 rows below. Pairs of x[8 k .. 8 k + 7] are the A operand of
// the k-th 16 columns.
#pragma once

#include "kernels/cuda/hopper/ptx.h"

namespace suffice::cuda::hopper {

template <int kColumns>
struct Accumulator {
  static constexpr int kSize = kColumns / 2;
  float x[kSize];
};

// One warpgroup's 64 x kColumns of bf16 as A operands: kColumns / 16 of 4 registers.
template <int kColumns>
struct Fragments {
  uint32_t x[kColumns / 16][4];
};

inline constexpr uint64_t kSwizzle128 = uint64_t{1} << 62;
inline constexpr int kRowBytes = 128;              // of a tile
inline constexpr int kGroupBytes = 8 * kRowBytes;  // 8 rows: the swizzle's period

__device__ __forceinline__ uint64_t Descriptor(const void* tile, int leading_bytes,
                                               int stride_bytes) {
  return kSwizzle128 | (uint64_t{SharedAddress(tile) & 0x3FFFFu} >> 4) |
         (static_cast<uint64_t>(leading_bytes >> 4) << 16) |
         (static_cast<uint64_t>(stride_bytes >> 4) << 32);
}
// K-major: groups of 8 rows follow each other; 16 columns of K are 32 bytes.
__device__ __forceinline__ uint64_t KMajor(const void* tile) {
  return Descriptor(tile, 16, kGroupBytes);
}
inline constexpr uint64_t kKMajorStep = 32 >> 4;
// MN-major: 64 columns of N a tile, tiles `tile_bytes` apart; 16 rows of K are two groups.
__device__ __forceinline__ uint64_t MnMajor(const void* tile, int tile_bytes) {
  return Descriptor(tile, tile_bytes, kGroupBytes);
}
inline constexpr uint64_t kMnMajorStep = 2 * kGroupBytes >> 4;

// Between writing registers and the products that read them.
__device__ __forceinline__ void BeginProducts() {
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}
__device__ __forceinline__ void CommitProducts() {
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}
// Until at most kPending groups of products are in flight.
template <int kPending>
__device__ __forceinline__ void WaitProducts() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kPending) : "memory");
}
// Keeps the compiler from moving uses of an accumulator across a wait.
template <int kColumns>
__device__ __forceinline__ void Pin(Accumulator<kColumns>& d) {
#pragma unroll
  for (float& x : d.x) asm volatile("" : "+f"(x)::"memory");
}

// D += A B, or D = A B if not `add`. kB: 0 for a K-major B, 1 for MN-major; kA likewise.

template <int kA, int kB>
__device__ __forceinline__ void Multiply(Accumulator<64>& d, uint64_t a, uint64_t b, bool add) {
  asm volatile(
      "{\n.reg .pred add;\nsetp.ne.b32 add, %34, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 {%0, %1, %2, %3, %4, %5, %6, %7, %8, "
      "%9, %10, %11, %12, %13, %14, %15, "
      "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31}, "
      "%32, %33, add, 1, 1, %35, %36;\n}\n"
      : "+f"(d.x[0]), "+f"(d.x[1]), "+f"(d.x[2]), "+f"(d.x[3]), "+f"(d.x[4]), "+f"(d.x[5]),
        "+f"(d.x[6]), "+f"(d.x[7]), "+f"(d.x[8]), "+f"(d.x[9]), "+f"(d.x[10]), "+f"(d.x[11]),
        "+f"(d.x[12]), "+f"(d.x[13]), "+f"(d.x[14]), "+f"(d.x[15]), "+f"(d.x[16]), "+f"(d.x[17]),
        "+f"(d.x[18]), "+f"(d.x[19]), "+f"(d.x[20]), "+f"(d.x[21]), "+f"(d.x[22]), "+f"(d.x[23]),
        "+f"(d.x[24]), "+f"(d.x[25]), "+f"(d.x[26]), "+f"(d.x[27]), "+f"(d.x[28]), "+f"(d.x[29]),
        "+f"(d.x[30]), "+f"(d.x[31])
      : "l"(a), "l"(b), "r"(static_cast<int>(add)), "n"(kA), "n"(kB));
}
template <int kB>
__device__ __forceinline__ void Multiply(Accumulator<64>& d, const uint32_t (&a)[4], uint64_t b,
                                         bool add) {
  asm volatile(
      "{\n.reg .pred add;\nsetp.ne.b32 add, %37, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 {%0, %1, %2, %3, %4, %5, %6, %7, %8, "
      "%9, %10, %11, %12, %13, %14, %15, "
      "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31}, "
      "{%32, %33, %34, %35}, %36, add, 1, 1, %38;\n}\n"
      : "+f"(d.x[0]), "+f"(d.x[1]), "+f"(d.x[2]), "+f"(d.x[3]), "+f"(d.x[4]), "+f"(d.x[5]),
        "+f"(d.x[6]), "+f"(d.x[7]), "+f"(d.x[8]), "+f"(d.x[9]), "+f"(d.x[10]), "+f"(d.x[11]),
        "+f"(d.x[12]), "+f"(d.x[13]), "+f"(d.x[14]), "+f"(d.x[15]), "+f"(d.x[16]), "+f"(d.x[17]),
        "+f"(d.x[18]), "+f"(d.x[19]), "+f"(d.x[20]), "+f"(d.x[21]), "+f"(d.x[22]), "+f"(d.x[23]),
        "+f"(d.x[24]), "+f"(d.x[25]), "+f"(d.x[26]), "+f"(d.x[27]), "+f"(d.x[28]), "+f"(d.x[29]),
        "+f"(d.x[30]), "+f"(d.x[31])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(static_cast<int>(add)), "n"(kB));
}

// The same of fp16, all in shared memory K-major.
__device__ __forceinline__ void MultiplyHalf(Accumulator<64>& d, uint64_t a, uint64_t b, bool add) {
  asm volatile(
      "{\n.reg .pred add;\nsetp.ne.b32 add, %34, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n64k16.f32.f16.f16 {%0, %1, %2, %3, %4, %5, %6, %7, %8, "
      "%9, %10, %11, %12, %13, %14, %15, "
      "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31}, "
      "%32, %33, add, 1, 1, 0, 0;\n}\n"
      : "+f"(d.x[0]), "+f"(d.x[1]), "+f"(d.x[2]), "+f"(d.x[3]), "+f"(d.x[4]), "+f"(d.x[5]),
        "+f"(d.x[6]), "+f"(d.x[7]), "+f"(d.x[8]), "+f"(d.x[9]), "+f"(d.x[10]), "+f"(d.x[11]),
        "+f"(d.x[12]), "+f"(d.x[13]), "+f"(d.x[14]), "+f"(d.x[15]), "+f"(d.x[16]), "+f"(d.x[17]),
        "+f"(d.x[18]), "+f"(d.x[19]), "+f"(d.x[20]), "+f"(d.x[21]), "+f"(d.x[22]), "+f"(d.x[23]),
        "+f"(d.x[24]), "+f"(d.x[25]), "+f"(d.x[26]), "+f"(d.x[27]), "+f"(d.x[28]), "+f"(d.x[29]),
        "+f"(d.x[30]), "+f"(d.x[31])
      : "l"(a), "l"(b), "r"(static_cast<int>(add)));
}
__device__ __forceinline__ void MultiplyHalf(Accumulator<64>& d, const uint32_t (&a)[4], uint64_t b,
                                             bool add) {
  asm volatile(
      "{\n.reg .pred add;\nsetp.ne.b32 add, %37, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n64k16.f32.f16.f16 {%0, %1, %2, %3, %4, %5, %6, %7, %8, "
      "%9, %10, %11, %12, %13, %14, %15, "
      "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31}, "
      "{%32, %33, %34, %35}, %36, add, 1, 1, 0;\n}\n"
      : "+f"(d.x[0]), "+f"(d.x[1]), "+f"(d.x[2]), "+f"(d.x[3]), "+f"(d.x[4]), "+f"(d.x[5]),
        "+f"(d.x[6]), "+f"(d.x[7]), "+f"(d.x[8]), "+f"(d.x[9]), "+f"(d.x[10]), "+f"(d.x[11]),
        "+f"(d.x[12]), "+f"(d.x[13]), "+f"(d.x[14]), "+f"(d.x[15]), "+f"(d.x[16]), "+f"(d.x[17]),
        "+f"(d.x[18]), "+f"(d.x[19]), "+f"(d.x[20]), "+f"(d.x[21]), "+f"(d.x[22]), "+f"(d.x[23]),
        "+f"(d.x[24]), "+f"(d.x[25]), "+f"(d.x[26]), "+f"(d.x[27]), "+f"(d.x[28]), "+f"(d.x[29]),
        "+f"(d.x[30]), "+f"(d.x[31])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(static_cast<int>(add)));
}

template <int kA, int kB>
__device__ __forceinline__ void Multiply(Accumulator<128>& d, uint64_t a, uint64_t b, bool add) {
  asm volatile(
      "{\n.reg .pred add;\nsetp.ne.b32 add, %66, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 {%0, %1, %2, %3, %4, %5, %6, %7, %8, "
      "%9, %10, %11, %12, %13, %14, %15, "
      "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
      "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "
      "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63}, "
      "%64, %65, add, 1, 1, %67, %68;\n}\n"
      : "+f"(d.x[0]), "+f"(d.x[1]), "+f"(d.x[2]), "+f"(d.x[3]), "+f"(d.x[4]), "+f"(d.x[5]),
        "+f"(d.x[6]), "+f"(d.x[7]), "+f"(d.x[8]), "+f"(d.x[9]), "+f"(d.x[10]), "+f"(d.x[11]),
        "+f"(d.x[12]), "+f"(d.x[13]), "+f"(d.x[14]), "+f"(d.x[15]), "+f"(d.x[16]), "+f"(d.x[17]),
        "+f"(d.x[18]), "+f"(d.x[19]), "+f"(d.x[20]), "+f"(d.x[21]), "+f"(d.x[22]), "+f"(d.x[23]),
        "+f"(d.x[24]), "+f"(d.x[25]), "+f"(d.x[26]), "+f"(d.x[27]), "+f"(d.x[28]), "+f"(d.x[29]),
        "+f"(d.x[30]), "+f"(d.x[31]), "+f"(d.x[32]), "+f"(d.x[33]), "+f"(d.x[34]), "+f"(d.x[35]),
        "+f"(d.x[36]), "+f"(d.x[37]), "+f"(d.x[38]), "+f"(d.x[39]), "+f"(d.x[40]), "+f"(d.x[41]),
        "+f"(d.x[42]), "+f"(d.x[43]), "+f"(d.x[44]), "+f"(d.x[45]), "+f"(d.x[46]), "+f"(d.x[47]),
        "+f"(d.x[48]), "+f"(d.x[49]), "+f"(d.x[50]), "+f"(d.x[51]), "+f"(d.x[52]), "+f"(d.x[53]),
        "+f"(d.x[54]), "+f"(d.x[55]), "+f"(d.x[56]), "+f"(d.x[57]), "+f"(d.x[58]), "+f"(d.x[59]),
        "+f"(d.x[60]), "+f"(d.x[61]), "+f"(d.x[62]), "+f"(d.x[63])
      : "l"(a), "l"(b), "r"(static_cast<int>(add)), "n"(kA), "n"(kB));
}
template <int kB>
__device__ __forceinline__ void Multiply(Accumulator<128>& d, const uint32_t (&a)[4], uint64_t b,
                                         bool add) {
  asm volatile(
      "{\n.reg .pred add;\nsetp.ne.b32 add, %69, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 {%0, %1, %2, %3, %4, %5, %6, %7, %8, "
      "%9, %10, %11, %12, %13, %14, %15, "
      "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
      "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "
      "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63}, "
      "{%64, %65, %66, %67}, %68, add, 1, 1, %70;\n}\n"
      : "+f"(d.x[0]), "+f"(d.x[1]), "+f"(d.x[2]), "+f"(d.x[3]), "+f"(d.x[4]), "+f"(d.x[5]),
        "+f"(d.x[6]), "+f"(d.x[7]), "+f"(d.x[8]), "+f"(d.x[9]), "+f"(d.x[10]), "+f"(d.x[11]),
        "+f"(d.x[12]), "+f"(d.x[13]), "+f"(d.x[14]), "+f"(d.x[15]), "+f"(d.x[16]), "+f"(d.x[17]),
        "+f"(d.x[18]), "+f"(d.x[19]), "+f"(d.x[20]), "+f"(d.x[21]), "+f"(d.x[22]), "+f"(d.x[23]),
        "+f"(d.x[24]), "+f"(d.x[25]), "+f"(d.x[26]), "+f"(d.x[27]), "+f"(d.x[28]), "+f"(d.x[29]),
        "+f"(d.x[30]), "+f"(d.x[31]), "+f"(d.x[32]), "+f"(d.x[33]), "+f"(d.x[34]), "+f"(d.x[35]),
        "+f"(d.x[36]), "+f"(d.x[37]), "+f"(d.x[38]), "+f"(d.x[39]), "+f"(d.x[40]), "+f"(d.x[41]),
        "+f"(d.x[42]), "+f"(d.x[43]), "+f"(d.x[44]), "+f"(d.x[45]), "+f"(d.x[46]), "+f"(d.x[47]),
        "+f"(d.x[48]), "+f"(d.x[49]), "+f"(d.x[50]), "+f"(d.x[51]), "+f"(d.x[52]), "+f"(d.x[53]),
        "+f"(d.x[54]), "+f"(d.x[55]), "+f"(d.x[56]), "+f"(d.x[57]), "+f"(d.x[58]), "+f"(d.x[59]),
        "+f"(d.x[60]), "+f"(d.x[61]), "+f"(d.x[62]), "+f"(d.x[63])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(static_cast<int>(add)), "n"(kB));
}

}  // namespace suffice::cuda::hopper
