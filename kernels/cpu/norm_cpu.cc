// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/model_ops_cpu.h"

namespace suffice::cpu {
namespace {

void NormModulate(Context& context, const NormModulateParams& p, void*) {
  const RowKernels& kernels = RowKernelsFor(context);
  const int64_t m = p.x.dim(0), rows = p.scale.empty() ? 1 : m / p.scale.dim(0);
  context.pool().ParallelFor(m, 32, [&](int64_t i, int) {
    kernels.norm({p.x.dim(1), RowOf(p.x, i), RowOf(p.scale, i / rows), RowOf(p.shift, i / rows),
                  RowOf(p.y, i), p.eps, p.mean.ptr<float>({i}), p.rstd.ptr<float>({i})});
  });
}

// Without parameter gradients the chunks need no sums and the groups do not matter.
RowChunks ChunksOf(const NormModulateBackwardParams& p) {
  return {p.scale.empty() ? 1 : p.scale.dim(0), p.x.dim(0)};
}

size_t BackwardWorkspace(const Context&, const NormModulateBackwardParams& p) {
  if (p.d_scale.empty()) return 0;
  return static_cast<size_t>(ChunksOf(p).count() * p.x.dim(1)) * 2 * sizeof(float);
}

void NormModulateBackward(Context& context, const NormModulateBackwardParams& p, void* workspace) {
  const RowKernels& kernels = RowKernelsFor(context);
  const RowChunks chunks = ChunksOf(p);
  const int64_t d = p.x.dim(1);
  float* partials = p.d_scale.empty() ? nullptr : static_cast<float*>(workspace);
  context.pool().ParallelFor(chunks.count(), 1, [&](int64_t c, int) {
    const auto [group, begin, end] = chunks[c];
    float* d_scale = partials == nullptr ? nullptr : partials + c * 2 * d;
    float* d_shift = partials == nullptr ? nullptr : d_scale + d;
    if (partials != nullptr) std::fill(d_scale, d_scale + 2 * d, 0.0f);
    for (int64_t i = begin; i < end; ++i) {
      kernels.norm_backward({d, RowOf(p.x, i), RowOf(p.scale, group), RowOf(p.dy, i),
                             RowOf(p.dx, i), *p.mean.ptr<float>({i}), *p.rstd.ptr<float>({i}),
                             p.accumulate_dx, d_scale, d_shift});
    }
  });
  if (partials == nullptr) return;
  AddChunkSums(context, chunks, partials, 2 * d, d, p.d_scale, true);
  AddChunkSums(context, chunks, partials + d, 2 * d, d, p.d_shift, true);
}

}  // namespace

void AddNorm(Backend& backend) {
  backend.norm_modulate = Plain(&NormModulate);
  backend.norm_modulate_backward = {&Supports<NormModulateBackwardParams>, &BackwardWorkspace,
                                    &NormModulateBackward};
}

}  // namespace suffice::cpu
