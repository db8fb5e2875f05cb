// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/model_ops_cuda.h"

#include "kernels/cuda/device.h"
#ifdef SUFFICE_CUDA_MODEL
#include "kernels/cuda/model/model_table.h"
#endif
#include "kernels/cuda/rope_pool.h"
#include "kernels/model_ops_check.h"

namespace suffice {
namespace cuda {
namespace {

constexpr int64_t kMostTasks = int64_t{1} << 31;  // numbers of tokens and CTAs are 32-bit

std::optional<std::string> QkSupports(const Context& context, const QkNormRopePoolParams& p) {
  if (auto reason = Validate(context, p)) return reason;
  for (const View* in : {&p.q.in, &p.k.in}) {
    if (!in->empty() && in->dim(0) * in->dim(1) * in->dim(2) >= kMostTasks) {
      return fmt::format("in: shape {} is larger than this backend counts", ToString(in->shape));
    }
  }
  return std::nullopt;
}

}  // namespace
}  // namespace cuda

void AddModelOpsCuda(Backend& table) {
  table.qk_norm_rope_pool = {
      &cuda::QkSupports, [](const Context&, const QkNormRopePoolParams&) -> size_t { return 0; },
      [](Context& context, const QkNormRopePoolParams& p, void*) {
        cuda::LaunchQkNormRopePool(p, cuda::StreamOf(context));
      }};
#ifdef SUFFICE_CUDA_MODEL
  cuda::AddModelTable(table);
#endif
}

}  // namespace suffice
