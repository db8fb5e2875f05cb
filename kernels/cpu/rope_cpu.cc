// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/model_ops_cpu.h"

namespace suffice::cpu {
namespace {

Floats At(const View& v, int64_t i, int64_t j, int64_t k) {
  return FloatsOf(v) + (i * v.stride(0) + j * v.stride(1) + k * v.stride(2));
}
const float* TableRow(const View& table, int64_t n) {
  return table.empty() ? nullptr : table.ptr<float>({n, 0});
}

// A task is one pooling block of tokens, all heads of a token together: they are neighbours in the
// projection's memory.
void Forward(Context& context, const QkSide& s, const QkNormRopePoolParams& p) {
  const RowKernels& kernels = RowKernelsFor(context);
  const int64_t tokens = s.in.dim(1), heads = s.in.dim(2), d = s.in.dim(3);
  const int64_t blocks = BlockCount(tokens, s.block);
  context.pool().ParallelFor(s.in.dim(0) * blocks, 1, [&](int64_t task, int) {
    const int64_t b = task / blocks, t = task % blocks;
    const int64_t begin = t * s.block, end = std::min(tokens, begin + s.block);
    for (int64_t n = begin; n < end; ++n) {
      for (int64_t h = 0; h < heads; ++h) {
        kernels.qk({d, At(s.in, b, n, h), FloatsOf(s.weight), At(s.out, b, h, n),
                    TableRow(p.cos, n), TableRow(p.sin, n), p.eps,
                    s.rrms.empty() ? nullptr : s.rrms.ptr<float>({b, h, n})});
      }
    }
    if (s.pooled.empty()) return;
    for (int64_t h = 0; h < heads; ++h) {
      float* mean = s.pooled.ptr<float>({b, h, t, 0});
      std::fill(mean, mean + d, 0.0f);
      for (int64_t n = begin; n < end; ++n) kernels.add_row(d, At(s.out, b, h, n), mean);
      for (int64_t j = 0; j < d; ++j) mean[j] /= static_cast<float>(end - begin);
    }
  });
}

void QkNormRopePool(Context& context, const QkNormRopePoolParams& p, void*) {
  Forward(context, p.q, p);
  if (!p.k.in.empty()) Forward(context, p.k, p);
}

// Sums for d_weight are made per chunk of tokens of one sample, over all heads.
RowChunks ChunksOf(const QkSideBackward& s) { return {s.in.dim(0), s.in.dim(0) * s.in.dim(1)}; }

size_t SideWorkspace(const QkSideBackward& s) {
  if (s.in.empty() || s.weight.empty() || s.d_weight.empty()) return 0;
  return static_cast<size_t>(ChunksOf(s).count() * s.in.dim(3)) * sizeof(float);
}

size_t BackwardWorkspace(const Context&, const QkNormRopeBackwardParams& p) {
  return std::max(SideWorkspace(p.q), SideWorkspace(p.k));
}

void Backward(Context& context, const QkSideBackward& s, const QkNormRopeBackwardParams& p,
              float* partials) {
  const RowKernels& kernels = RowKernelsFor(context);
  const int64_t tokens = s.in.dim(1), heads = s.in.dim(2), d = s.in.dim(3);
  const bool sums_wanted = SideWorkspace(s) > 0;
  const RowChunks chunks = ChunksOf(s);
  context.pool().ParallelFor(chunks.count(), 1, [&](int64_t c, int) {
    const auto [group, begin, end] = chunks[c];
    float* sums = sums_wanted ? partials + c * d : nullptr;
    if (sums != nullptr) std::fill(sums, sums + d, 0.0f);
    for (int64_t n = begin - group * tokens; n < end - group * tokens; ++n) {
      for (int64_t h = 0; h < heads; ++h) {
        kernels.qk_backward({d, At(s.in, group, n, h), FloatsOf(s.weight), At(s.d_out, group, h, n),
                             At(s.d_in, group, n, h), TableRow(p.cos, n), TableRow(p.sin, n),
                             s.weight.empty() ? 1.0f : *s.rrms.ptr<float>({group, h, n}), sums});
      }
    }
  });
  if (!sums_wanted) return;
  for (int64_t c = 0; c < chunks.count(); ++c) {
    kernels.add_row(d, {partials + c * d, DType::kF32}, s.d_weight.ptr<float>());
  }
}

void QkNormRopeBackward(Context& context, const QkNormRopeBackwardParams& p, void* workspace) {
  Backward(context, p.q, p, static_cast<float*>(workspace));
  if (!p.k.in.empty()) Backward(context, p.k, p, static_cast<float*>(workspace));
}

}  // namespace

void AddRope(Backend& backend) {
  backend.qk_norm_rope_pool = Plain(&QkNormRopePool);
  backend.qk_norm_rope_backward = {&Supports<QkNormRopeBackwardParams>, &BackwardWorkspace,
                                   &QkNormRopeBackward};
}

}  // namespace suffice::cpu
