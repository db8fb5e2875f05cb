// SPDX-License-Identifier: Apache-2.0
// Normal deviates, to the bits of the other backends: compiled without fusing multiply and add, so
// that the only fused ones are those that lib/base/philox.h asks for.
#include "kernels/cuda/launch.h"
#include "kernels/cuda/model/launch_model.h"
#include "kernels/cuda/model/values.h"
#include "lib/base/philox.h"

namespace suffice::cuda {
namespace {

constexpr int kDeviates = 4;  // of one Philox block

// A thread makes the deviates of one block, of which `skipped` of the first lie before the output.
template <class T, int kWidth>
__global__ void __launch_bounds__(kModelThreads)
    NormalFill(T* out, int64_t count, int64_t blocks, uint64_t seed, uint32_t stream,
               uint64_t first_block, int64_t skipped) {
  const int64_t block = int64_t{blockIdx.x} * kModelThreads + threadIdx.x;
  if (block >= blocks) return;
  constexpr uint64_t kBlockMask = UINT64_MAX >> 2;  // elements count modulo 2^64
  const auto bits = Philox(seed, stream, (first_block + static_cast<uint64_t>(block)) & kBlockMask);
  float x[kDeviates];
#pragma unroll
  for (int d = 0; d < kDeviates; ++d) x[d] = NormalFromBits(bits[static_cast<size_t>(d)]);
  const int64_t at = block * kDeviates - skipped;
  if constexpr (kWidth == kDeviates) {  // nothing is skipped
    Write<kDeviates>(out + at, count - at, x);
  } else {
#pragma unroll
    for (int d = 0; d < kDeviates; ++d) {
      const float one[1] = {x[d]};
      if (at + d >= 0 && at + d < count) Write<1>(out + at + d, 1, one);
    }
  }
}

}  // namespace

void LaunchNormalFill(const NormalFillParams& p, cudaStream_t stream) {
  const int64_t count = p.out.shape.elements();
  if (count == 0) return;
  const auto skipped = static_cast<int64_t>(p.offset % kDeviates);
  const int64_t blocks = (count + skipped + kDeviates - 1) / kDeviates;
  const auto ctas = static_cast<unsigned>((blocks + kModelThreads - 1) / kModelThreads);
  const Rows out = FlatRows(p.out, 0);
  WithType(out.bf16, [&](auto type) {
    WithWidth<kDeviates>(skipped == 0 && Aligned({out}), [&](auto width) {
      using T = decltype(type);
      NormalFill<T, decltype(width)::value>
          <<<ctas, kModelThreads, 0, stream>>>(static_cast<T*>(p.out.data), count, blocks, p.seed,
                                               p.stream, p.offset / kDeviates, skipped);
    });
  });
  CheckLaunch("normal_fill");
}

}  // namespace suffice::cuda
