// SPDX-License-Identifier: Apache-2.0
// A product of any strides in tiles of 64 x 64, sixteen sums a thread, in ascending order of terms.
#include "kernels/cuda/launch.h"
#include "kernels/cuda/model/linear.h"

namespace suffice::cuda {
namespace {

constexpr int kTile = 64;   // rows and columns of a CTA's sums
constexpr int kDepth = 16;  // terms at a time
constexpr int kOwn = 4;     // rows and columns of a thread's sums
constexpr int kSide = kTile / kOwn;

struct ProductArgs {
  const void *a, *b;
  int64_t a_row, a_term, b_term, b_column;  // strides in elements
  float* sums;
  int64_t stride;
  int64_t m, n, k, tiles;  // tiles: along a row of sums
};

// Tile[term][i] = the value at (first + i, term), zero outside. Neighbouring threads read along the
// axis that is contiguous.
template <class T>
__device__ void Fetch(const T* from, int64_t i_stride, int64_t term_stride, int64_t first,
                      int64_t count, int64_t term0, int64_t terms,
                      float (&tile)[kDepth][kTile + 1]) {
  const int thread = static_cast<int>(threadIdx.x);
  const bool along_terms = term_stride == 1;
#pragma unroll
  for (int u = 0; u < kTile * kDepth / kModelThreads; ++u) {
    const int at = thread + u * kModelThreads;
    const int i = along_terms ? at / kDepth : at % kTile;
    const int term = along_terms ? at % kDepth : at / kTile;
    const bool inside = first + i < count && term0 + term < terms;
    tile[term][i] =
        inside ? ToFloat(from[(first + i) * i_stride + (term0 + term) * term_stride]) : 0.0f;
  }
}

template <class T>
__global__ void __launch_bounds__(kModelThreads)
    PlainProduct(const __grid_constant__ ProductArgs p) {
  __shared__ float a_tile[kDepth][kTile + 1], b_tile[kDepth][kTile + 1];
  const int64_t row0 = blockIdx.x / p.tiles * kTile, column0 = blockIdx.x % p.tiles * kTile;
  const int y = static_cast<int>(threadIdx.x) / kSide, x = static_cast<int>(threadIdx.x) % kSide;
  float sums[kOwn][kOwn] = {};
  for (int64_t term0 = 0; term0 < p.k; term0 += kDepth) {
    Fetch(static_cast<const T*>(p.a), p.a_row, p.a_term, row0, p.m, term0, p.k, a_tile);
    Fetch(static_cast<const T*>(p.b), p.b_column, p.b_term, column0, p.n, term0, p.k, b_tile);
    __syncthreads();
#pragma unroll
    for (int term = 0; term < kDepth; ++term) {
      float a[kOwn], b[kOwn];
#pragma unroll
      for (int i = 0; i < kOwn; ++i) a[i] = a_tile[term][y + i * kSide];
#pragma unroll
      for (int j = 0; j < kOwn; ++j) b[j] = b_tile[term][x + j * kSide];
#pragma unroll
      for (int i = 0; i < kOwn; ++i) {
#pragma unroll
        for (int j = 0; j < kOwn; ++j) sums[i][j] = fmaf(a[i], b[j], sums[i][j]);
      }
    }
    __syncthreads();
  }
#pragma unroll
  for (int i = 0; i < kOwn; ++i) {
    const int64_t row = row0 + y + i * kSide;
    if (row >= p.m) break;
#pragma unroll
    for (int j = 0; j < kOwn; ++j) {
      const int64_t column = column0 + x + j * kSide;
      if (column < p.n) p.sums[row * p.stride + column] = sums[i][j];
    }
  }
}

}  // namespace

void LaunchPlainProduct(const View& a, const View& b, float* sums, int64_t sums_stride,
                        cudaStream_t stream) {
  ProductArgs p{};
  p.a = a.data;
  p.b = b.data;
  p.a_row = a.stride(0);
  p.a_term = a.stride(1);
  p.b_term = b.stride(0);
  p.b_column = b.stride(1);
  p.sums = sums;
  p.stride = sums_stride;
  p.m = a.dim(0);
  p.k = a.dim(1);
  p.n = b.dim(1);
  p.tiles = (p.n + kTile - 1) / kTile;
  const int64_t ctas = (p.m + kTile - 1) / kTile * p.tiles;
  if (ctas == 0) return;
  WithType(a.dtype == DType::kBF16, [&](auto type) {
    PlainProduct<decltype(type)><<<static_cast<unsigned>(ctas), kModelThreads, 0, stream>>>(p);
  });
  CheckLaunch("linear");
}

}  // namespace suffice::cuda
