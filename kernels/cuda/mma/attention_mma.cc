// SPDX-License-Identifier: Apache-2.0
#include <initializer_list>
#include <utility>

#include "kernels/cuda/attention_cuda.h"
#include "kernels/cuda/device.h"
#include "kernels/cuda/mma/launch_mma.h"

namespace suffice {
namespace {

using Reason = std::optional<std::string>;
using NamedView = std::pair<const char*, const View*>;

// Rows are copied in pieces of 16 bytes.
Reason Unaligned(const char* name, const View& view) {
  constexpr int64_t kPiece = 16 / sizeof(BFloat16);
  bool aligned = reinterpret_cast<uintptr_t>(view.data) % 16 == 0;
  for (int axis = 0; axis < 3; ++axis) {
    aligned = aligned && (view.dim(axis) == 1 || view.stride(axis) % kPiece == 0);
  }
  if (aligned) return std::nullopt;
  return fmt::format("{}: rows that do not start at multiples of 16 bytes", name);
}

Reason Unfit(const View& q, BlockSize block, std::initializer_list<NamedView> tensors) {
  if (q.dtype != DType::kBF16) return fmt::format("type {}, wanted bf16", NameOf(q.dtype));
  if (q.dim(3) != 64 && q.dim(3) != 128) {
    return fmt::format("head dimension {}, wanted 64 or 128", q.dim(3));
  }
  if (block.q % 64 != 0 || block.k % 64 != 0) {
    return fmt::format("block {} x {}, wanted multiples of 64", block.q, block.k);
  }
  for (const auto& [name, view] : tensors) {
    if (auto reason = Unaligned(name, *view)) return reason;
  }
  return std::nullopt;
}

Reason SupportsAttend(const Context&, const AttendParams& p) {
  return Unfit(p.q, p.block, {{"q", &p.q}, {"k", &p.k}, {"v", &p.v}, {"o", &p.o}});
}

Reason SupportsBackward(const Context&, const AttendBackwardParams& p) {
  return Unfit(p.q, p.block,
               {{"q", &p.q},
                {"k", &p.k},
                {"v", &p.v},
                {"o", &p.o},
                {"d_o", &p.d_o},
                {"dq", &p.dq},
                {"dk", &p.dk},
                {"dv", &p.dv}});
}

size_t AttendBytes(const Context&, const AttendParams& p) {
  return cuda::mma::AttendWorkspaceBytes(p);
}

size_t BackwardBytes(const Context&, const AttendBackwardParams& p) {
  return cuda::mma::AttendBackwardWorkspaceBytes(p);
}

void RunAttend(Context& context, const AttendParams& p, void* workspace) {
  cuda::mma::Attend(p, workspace, cuda::StreamOf(context));
}

void RunBackward(Context& context, const AttendBackwardParams& p, void* workspace) {
  cuda::mma::AttendBackward(p, workspace, cuda::StreamOf(context));
}

}  // namespace

const Operation<AttendParams>& MmaAttend() {
  static constexpr Operation<AttendParams> kOperation = {&SupportsAttend, &AttendBytes, &RunAttend};
  return kOperation;
}

const Operation<AttendBackwardParams>& MmaAttendBackward() {
  static constexpr Operation<AttendBackwardParams> kOperation = {&SupportsBackward, &BackwardBytes,
                                                                 &RunBackward};
  return kOperation;
}

}  // namespace suffice
