// SPDX-License-Identifier: Apache-2.0
#include "kernels/ref/attention_ref.h"

namespace suffice::ref {
namespace {

template <class T>
void PoolBlocks(const PoolParams& p) {
  const int64_t tokens = p.x.dim(2);
  for (int64_t b = 0; b < p.x.dim(0); ++b) {
    for (int64_t h = 0; h < p.x.dim(1); ++h) {
      for (int64_t i = 0; i < p.pooled.dim(2); ++i) {
        const int64_t begin = i * p.block;
        const int64_t end = std::min(begin + p.block, tokens);
        float* out = p.pooled.ptr<float>({b, h, i});
        for (int64_t d = 0; d < p.x.dim(3); ++d) {
          float sum = 0.0f;
          for (int64_t t = begin; t < end; ++t) sum += ToFloat(p.x.ptr<T>({b, h, t})[d]);
          out[d] = sum / static_cast<float>(end - begin);
        }
      }
    }
  }
}

}  // namespace

void Pool(Context&, const PoolParams& p, void*) {
  if (p.x.dtype == DType::kBF16) {
    PoolBlocks<BFloat16>(p);
  } else {
    PoolBlocks<float>(p);
  }
}

}  // namespace suffice::ref
