// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/model_ops_cpu.h"

namespace suffice {
namespace cpu {

void AddChunkSums(Context& context, const RowChunks& chunks, const float* partials, int64_t stride,
                  int64_t n, const View& out, bool accumulate) {
  const RowKernels& kernels = RowKernelsFor(context);
  context.pool().ParallelFor(chunks.groups(), 1, [&](int64_t group, int) {
    float* sums = out.ptr<float>({group, 0});
    if (!accumulate) std::fill(sums, sums + n, 0.0f);
    for (int64_t c = group * chunks.per_group(); c < (group + 1) * chunks.per_group(); ++c) {
      kernels.add_row(n, {const_cast<float*>(partials + c * stride), DType::kF32}, sums);
    }
  });
}

}  // namespace cpu

void AddModelOpsCpu(Backend& backend) {
  cpu::AddLinear(backend);
  cpu::AddNorm(backend);
  cpu::AddRope(backend);
  cpu::AddElementwise(backend);
  cpu::AddEmbed(backend);
  cpu::AddOptimizer(backend);
}

}  // namespace suffice
