// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/attention_cuda.h"

#include <array>

#include "kernels/attention_check.h"
#include "kernels/cuda/count_pairs.h"
#include "kernels/cuda/device.h"
#include "kernels/cuda/hopper/attend_hopper.h"
#include "kernels/cuda/select/select_cuda.h"

namespace suffice {
namespace cuda {
namespace {

template <class Params>
struct Form {
  Path path;
  const Operation<Params>& (*operation)();
};

// The forms of an operation, fastest first.
template <class Params>
struct Forms;
template <>
struct Forms<AttendParams> {
  static constexpr std::array kList = {Form<AttendParams>{Path::kHopper, &hopper::Attend},
                                       Form<AttendParams>{Path::kPortable, &MmaAttend},
                                       Form<AttendParams>{Path::kPortable, &PlainAttend}};
};
template <>
struct Forms<AttendBackwardParams> {
  static constexpr std::array kList = {
      Form<AttendBackwardParams>{Path::kHopper, &hopper::AttendBackward},
      Form<AttendBackwardParams>{Path::kPortable, &MmaAttendBackward},
      Form<AttendBackwardParams>{Path::kPortable, &PlainAttendBackward}};
};
template <>
struct Forms<FullLseParams> {
  static constexpr std::array kList = {Form<FullLseParams>{Path::kPortable, &PlainFullLse}};
};

// The first form that takes the parameters, or null; `reason` is then the last one's.
template <class Params>
const Operation<Params>* FormFor(const Context& context, const Params& params,
                                 std::optional<std::string>* reason = nullptr) {
  for (const Form<Params>& form : Forms<Params>::kList) {
    if (form.path > StateOf(context).path) continue;
    const Operation<Params>& operation = form.operation();
    auto no = operation.supports(context, params);
    if (!no) return &operation;
    if (reason != nullptr) *reason = std::move(no);
  }
  return nullptr;
}

template <class Params>
constexpr Operation<Params> Dispatched() {
  return {[](const Context& context, const Params& params) -> std::optional<std::string> {
            if (auto reason = Validate(context, params)) return reason;
            std::optional<std::string> reason = "no form for this device";
            return FormFor(context, params, &reason) != nullptr ? std::nullopt : reason;
          },
          [](const Context& context, const Params& params) {
            return FormFor(context, params)->workspace_bytes(context, params);
          },
          [](Context& context, const Params& params, void* workspace) {
            FormFor(context, params)->run(context, params, workspace);
          }};
}

}  // namespace
}  // namespace cuda

void AddAttentionCuda(Backend& table) {
  table.attend = cuda::Dispatched<AttendParams>();
  table.attend_backward = cuda::Dispatched<AttendBackwardParams>();
  cuda::AddSelect(table);
  table.full_lse = cuda::Dispatched<FullLseParams>();
  table.count_pairs = {&Validate,
                       [](const Context&, const CountPairsParams&) -> size_t { return 0; },
                       [](Context& context, const CountPairsParams& params, void*) {
                         cuda::LaunchCountPairs(params, cuda::StreamOf(context));
                       }};
}

}  // namespace suffice
