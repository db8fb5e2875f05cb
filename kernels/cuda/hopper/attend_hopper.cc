// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/hopper/attend_hopper.h"

#include <utility>

#include "kernels/cuda/device.h"
#include "kernels/cuda/hopper/attend_args.h"
#include "kernels/cuda/hopper/tensor_map.h"

namespace suffice::cuda::hopper {
namespace {

constexpr float kLog2E = 1.4426950408889634f;

int64_t RowsOf(const AttendParams& p) {
  return p.q.dim(0) * p.q.dim(1) * BlockCount(p.q.dim(2), p.block.q);
}

// Rows in work at once: one a CTA; CTAs of 64 queries share a multiprocessor.
int Workers(const Context& context, BlockSize block) {
  return StateOf(context).multiprocessors * (block.q == kGroupRows ? 2 : 1);
}

std::optional<std::string> Supports(const Context&, const AttendParams& p) {
  if (auto reason = UnsupportedShape(p.q, p.block)) return reason;
  using Named = std::pair<const char*, const View&>;
  for (const auto& [name, view] : {Named{"q", p.q}, {"k", p.k}, {"v", p.v}, {"o", p.o}}) {
    if (auto reason = Unaddressable(name, view)) return reason;
  }
  return std::nullopt;
}

size_t PartBytes(const AttendParams& p, int slots) {
  return sizeof(float) * static_cast<size_t>(slots * p.block.q * (p.q.dim(3) + 1));
}

size_t WorkspaceBytes(const Context& context, const AttendParams& p) {
  const int workers = Workers(context, p.block);
  return ScheduleBytes(RowsOf(p), workers) + PartBytes(p, MaxSlots(workers));
}

void Run(Context& context, const AttendParams& p, void* workspace) {
  const int workers = Workers(context, p.block);
  AttendArgs args;
  args.q = MapOf(p.q, p.block.q);
  args.k = MapOf(p.k, kSubBlock);
  args.v = MapOf(p.v, kSubBlock);
  args.o = MapOf(p.o, kGroupRows);
  args.lists = QueryLists(p.q, p.k, p.rows, p.block, p.mask);
  args.schedule = PlaceSchedule(workspace, RowsOf(p), workers);
  args.heads = static_cast<int>(p.q.dim(1));
  args.heads_per_key_head = static_cast<int>(p.q.dim(1) / p.k.dim(1));
  args.c = p.scale * kLog2E;
  args.unit = static_cast<float>(double{p.scale} / double{args.c});
  args.o_data = p.o.ptr<BFloat16>();
  args.o_batch = p.o.stride(0);
  args.o_head = p.o.stride(1);
  args.o_token = p.o.stride(2);
  args.lse = p.lse.empty() ? nullptr : p.lse.ptr<float>();
  args.lse_batch = p.lse.stride(0);
  args.lse_head = p.lse.stride(1);
  args.lse_token = p.lse.stride(2);
  args.partial_o = reinterpret_cast<float*>(static_cast<std::byte*>(workspace) +
                                            ScheduleBytes(RowsOf(p), workers));
  args.partial_lse = args.partial_o + int64_t{args.schedule.max_slots} * p.block.q * p.q.dim(3);
  MakeSchedule(args.lists, args.schedule, workers, StreamOf(context));
  LaunchAttend(args, static_cast<int>(p.q.dim(3)), workers, StreamOf(context));
}

}  // namespace

std::optional<std::string> UnsupportedShape(const View& q, BlockSize block) {
  if (q.dtype != DType::kBF16) return fmt::format("type {}, wanted bf16", NameOf(q.dtype));
  if (q.dim(3) != 64 && q.dim(3) != 128) {
    return fmt::format("head dimension {}, wanted 64 or 128", q.dim(3));
  }
  if ((block.q != 64 && block.q != 128) || (block.k != 64 && block.k != 128)) {
    return fmt::format("block {} x {}, wanted 64 or 128 each", block.q, block.k);
  }
  // Rows of a schedule are numbered in 32 bits.
  if (q.dim(0) * q.dim(1) * BlockCount(q.dim(2), kSubBlock) > INT32_MAX) {
    return fmt::format("{} heads of {} tokens are more than this form counts", q.dim(0) * q.dim(1),
                       q.dim(2));
  }
  return std::nullopt;
}

const Operation<AttendParams>& Attend() {
  static constexpr Operation<AttendParams> kOperation = {&Supports, &WorkspaceBytes, &Run};
  return kOperation;
}

}  // namespace suffice::cuda::hopper
