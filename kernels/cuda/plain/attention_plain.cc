// SPDX-License-Identifier: Apache-2.0
// The plain form takes whatever kernels/attention_check.h lets through.
#include "kernels/cuda/attention_cuda.h"
#include "kernels/cuda/device.h"
#include "kernels/cuda/plain/launch_plain.h"

namespace suffice {
namespace {

template <class Params>
std::optional<std::string> Everything(const Context&, const Params&) {
  return std::nullopt;
}

template <class Params>
size_t NoWorkspace(const Context&, const Params&) {
  return 0;
}

size_t DeltaBytes(const Context&, const AttendBackwardParams& p) {
  return static_cast<size_t>(p.lse.shape.elements()) * sizeof(float);
}

void RunAttend(Context& context, const AttendParams& p, void*) {
  cuda::plain::Attend(p, cuda::StreamOf(context));
}

void RunAttendBackward(Context& context, const AttendBackwardParams& p, void* workspace) {
  cuda::plain::AttendBackward(p, static_cast<float*>(workspace), cuda::StreamOf(context));
}

void RunFullLse(Context& context, const FullLseParams& p, void*) {
  cuda::plain::FullLse(p, cuda::StreamOf(context));
}

}  // namespace

const Operation<AttendParams>& PlainAttend() {
  static constexpr Operation<AttendParams> kOperation = {&Everything, &NoWorkspace, &RunAttend};
  return kOperation;
}

const Operation<AttendBackwardParams>& PlainAttendBackward() {
  static constexpr Operation<AttendBackwardParams> kOperation = {&Everything, &DeltaBytes,
                                                                 &RunAttendBackward};
  return kOperation;
}

const Operation<FullLseParams>& PlainFullLse() {
  static constexpr Operation<FullLseParams> kOperation = {&Everything, &NoWorkspace, &RunFullLse};
  return kOperation;
}

}  // namespace suffice
