// SPDX-License-Identifier: Apache-2.0
#include <cuda_fp16.h>

#include "kernels/cuda/launch.h"
#include "kernels/cuda/select/split_rows.h"

namespace suffice::cuda {
namespace {

constexpr int kWarps = 8;     // a row each
constexpr int kMaxParts = 8;  // of 32 values: dimensions to 256
constexpr unsigned kAllLanes = 0xFFFFFFFFu;

struct Scaling {
  float scale, unscale;
};
// `largest`: the bits of the row's largest magnitude.
__device__ inline Scaling ScalingOf(uint32_t largest) {
  const int exponent = static_cast<int>(largest >> 23) - 127;
  if (largest == 0) return {1.0f, 1.0f};
  if (exponent < -60 || exponent > 60) return {0.0f, 0.0f};
  return {__uint_as_float(static_cast<uint32_t>(127 + 8 - exponent) << 23),
          __uint_as_float(static_cast<uint32_t>(127 - 8 + exponent) << 23)};
}

__device__ void SplitRow(const SplitJob& job, int64_t row, int dim) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const auto i = static_cast<int>(row % job.rows);
  const auto sequence = static_cast<int>(row / job.rows);
  const float* from = job.data + sequence / job.heads * job.batch_stride +
                      sequence % job.heads * job.head_stride + i * job.row_stride;
  float values[kMaxParts];
  uint32_t largest = 0;
#pragma unroll
  for (int part = 0; part < kMaxParts; ++part) {
    const int column = 32 * part + lane;
    values[part] = column < dim ? __ldg(from + column) : 0.0f;
    largest = max(largest, __float_as_uint(values[part]) & 0x7FFFFFFFu);
  }
  const Scaling s = ScalingOf(__reduce_max_sync(kAllLanes, largest));
  if (lane == 0) job.out.unscale[row] = s.unscale;
#pragma unroll
  for (int part = 0; part < kMaxParts; ++part) {
    const int column = 32 * part + lane;
    if (column >= job.out.pitch) break;
    const float x = s.unscale != 0.0f ? values[part] * s.scale : 0.0f;
    const __half high = __float2half_rn(x);
    job.out.high[row * job.out.pitch + column] = __half_as_ushort(high);
    job.out.low[row * job.out.pitch + column] =
        __half_as_ushort(__float2half_rn(x - __half2float(high)));
  }
}

__global__ void __launch_bounds__(32 * kWarps)
    SplitAll(const __grid_constant__ SplitJob q, const __grid_constant__ SplitJob k, int dim) {
  const int64_t row = int64_t{blockIdx.x} * kWarps + threadIdx.x / 32;
  if (row < q.all()) {
    SplitRow(q, row, dim);
  } else if (row < q.all() + k.all()) {
    SplitRow(k, row - q.all(), dim);
  }
}

}  // namespace

void LaunchSplitRows(const SplitJob& q, const SplitJob& k, int dim, cudaStream_t stream) {
  const int64_t grid = (q.all() + k.all() + kWarps - 1) / kWarps;
  SplitAll<<<static_cast<unsigned>(grid), 32 * kWarps, 0, stream>>>(q, k, dim);
  CheckLaunch("select: split rows");
}

}  // namespace suffice::cuda
