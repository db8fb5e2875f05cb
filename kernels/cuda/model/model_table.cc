// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/model/model_table.h"

#include "kernels/cuda/device.h"
#include "kernels/cuda/model/launch_model.h"
#include "kernels/cuda/model/linear_cuda.h"
#include "kernels/cuda/rope_pool.h"
#include "kernels/model_ops_check.h"

namespace suffice::cuda {
namespace {

constexpr int64_t kMostTasks = int64_t{1} << 31;  // numbers of tokens and CTAs are 32-bit

template <class Params>
std::optional<std::string> QkSupports(const Context& context, const Params& p) {
  if (auto reason = Validate(context, p)) return reason;
  for (const View* in : {&p.q.in, &p.k.in}) {
    if (!in->empty() && in->dim(0) * in->dim(1) * in->dim(2) >= kMostTasks) {
      return fmt::format("in: shape {} is larger than this backend counts", ToString(in->shape));
    }
  }
  return std::nullopt;
}

template <class Params>
std::optional<std::string> Supports(const Context& context, const Params& p) {
  return Validate(context, p);
}

// An operation of a launch alone, and one with a workspace.
template <auto kLaunch, class Params>
Operation<Params> Plain() {
  return {&Supports<Params>, [](const Context&, const Params&) -> size_t { return 0; },
          [](Context& context, const Params& p, void*) { kLaunch(p, StreamOf(context)); }};
}
template <auto kWorkspace, auto kLaunch, class Params>
Operation<Params> WithWorkspace() {
  return {&Supports<Params>,
          [](const Context&, const Params& p) -> size_t { return kWorkspace(p); },
          [](Context& context, const Params& p, void* workspace) {
            kLaunch(p, workspace, StreamOf(context));
          }};
}

}  // namespace

void AddModelTable(Backend& table) {
  AddLinear(table);
  table.activation_backward = Plain<&LaunchActivationBackward, ActivationBackwardParams>();
  table.gate_backward =
      WithWorkspace<&GateBackwardWorkspace, &LaunchGateBackward, GateBackwardParams>();
  table.sum_rows = WithWorkspace<&SumRowsWorkspace, &LaunchSumRows, SumRowsParams>();
  table.norm_modulate = Plain<&LaunchNormModulate, NormModulateParams>();
  table.norm_modulate_backward =
      WithWorkspace<&NormModulateBackwardWorkspace, &LaunchNormModulateBackward,
                    NormModulateBackwardParams>();
  table.qk_norm_rope_pool = Plain<&LaunchQkNormRopePool, QkNormRopePoolParams>();
  table.qk_norm_rope_pool.supports = &QkSupports<QkNormRopePoolParams>;
  table.qk_norm_rope_backward =
      WithWorkspace<&QkNormRopeBackwardWorkspace, &LaunchQkNormRopeBackward,
                    QkNormRopeBackwardParams>();
  table.qk_norm_rope_backward.supports = &QkSupports<QkNormRopeBackwardParams>;
  table.embed = Plain<&LaunchEmbed, EmbedParams>();
  table.embed_backward = Plain<&LaunchEmbedBackward, EmbedBackwardParams>();
  table.time_features = Plain<&LaunchTimeFeatures, TimeFeaturesParams>();
  table.patchify = Plain<&LaunchPatchify, PatchifyParams>();
  table.axpby = Plain<&LaunchAxpby, AxpbyParams>();
  table.silu = Plain<&LaunchSilu, SiluParams>();
  table.mse = WithWorkspace<&MseWorkspace, &LaunchMse, MseParams>();
  table.sum_squares = WithWorkspace<&SumSquaresWorkspace, &LaunchSumSquares, SumSquaresParams>();
  table.normal_fill = Plain<&LaunchNormalFill, NormalFillParams>();
  table.fill = Plain<&LaunchFill, FillParams>();
  table.adamw = Plain<&LaunchAdamW, AdamWParams>();
}

}  // namespace suffice::cuda
