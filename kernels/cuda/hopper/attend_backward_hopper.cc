// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <utility>

#include "kernels/cuda/device.h"
#include "kernels/cuda/hopper/attend_backward_args.h"
#include "kernels/cuda/hopper/attend_hopper.h"
#include "kernels/cuda/hopper/tensor_map.h"

namespace suffice::cuda::hopper {
namespace {

constexpr float kLog2E = 1.4426950408889634f;

std::optional<std::string> Supports(const Context&, const AttendBackwardParams& p) {
  using Named = std::pair<const char*, const View&>;
  if (auto reason = UnsupportedShape(p.q, p.block)) return reason;
  for (const auto& [name, view] : {Named{"q", p.q},
                                   {"k", p.k},
                                   {"v", p.v},
                                   {"o", p.o},
                                   {"d_o", p.d_o},
                                   {"dq", p.dq},
                                   {"dk", p.dk},
                                   {"dv", p.dv}}) {
    if (auto reason = Unaddressable(name, view)) return reason;
  }
  return std::nullopt;
}

// The parts of a workspace, each at a multiple of 128 bytes.
struct Layout {
  int query_workers = 0, key_workers = 0;
  size_t query_schedule = 0, key_schedule = 0, lse2 = 0, delta = 0, parts = 0, bytes = 0;
  int padded = 0;  // queries of a sequence, in whole blocks

  Layout(const Context& context, const AttendBackwardParams& p) {
    const int multiprocessors = StateOf(context).multiprocessors;
    query_workers = multiprocessors * (p.block.q == kGroupRows ? 2 : 1);
    key_workers = 2 * multiprocessors;
    const int64_t t_q = BlockCount(p.q.dim(2), p.block.q), t_k = BlockCount(p.k.dim(2), p.block.k);
    const int64_t sequences = p.q.dim(0) * p.q.dim(1);
    padded = static_cast<int>(t_q * p.block.q);
    const auto take = [&](size_t* at, size_t size) {
      *at = bytes;
      bytes += (size + 127) / 128 * 128;
    };
    take(&query_schedule, ScheduleBytes(sequences * t_q, query_workers));
    take(&key_schedule, ScheduleBytes(p.k.dim(0) * p.k.dim(1) * t_k, key_workers));
    const size_t statistic = sizeof(float) * static_cast<size_t>(sequences * padded);
    take(&lse2, statistic);
    take(&delta, statistic);
    // The passes follow each other and share this.
    const int64_t query_rows = int64_t{MaxSlots(query_workers)} * p.block.q;
    const int64_t key_rows = int64_t{MaxSlots(key_workers)} * 2 * p.block.k;
    take(&parts, sizeof(float) * static_cast<size_t>(std::max(query_rows, key_rows) * p.q.dim(3)));
  }
};

size_t WorkspaceBytes(const Context& context, const AttendBackwardParams& p) {
  return Layout(context, p).bytes;
}

GradientRows RowsOf(const View& x) {
  return {x.ptr<BFloat16>(), x.stride(0), x.stride(1), x.stride(2)};
}

RowsArgs MakeRowsArgs(const AttendBackwardParams& p, float unit, const RowStatistics& out) {
  RowsArgs args;
  args.o = p.o.ptr<BFloat16>();
  args.d_o = p.d_o.ptr<BFloat16>();
  args.lse = p.lse.ptr<float>();
  args.o_batch = p.o.stride(0);
  args.o_head = p.o.stride(1);
  args.o_token = p.o.stride(2);
  args.d_o_batch = p.d_o.stride(0);
  args.d_o_head = p.d_o.stride(1);
  args.d_o_token = p.d_o.stride(2);
  args.lse_batch = p.lse.stride(0);
  args.lse_head = p.lse.stride(1);
  args.lse_token = p.lse.stride(2);
  args.heads = static_cast<int>(p.q.dim(1));
  args.sequences = static_cast<int>(p.q.dim(0) * p.q.dim(1));
  args.n_q = static_cast<int>(p.q.dim(2));
  args.unit = unit;
  args.out = out;
  return args;
}

void Run(Context& context, const AttendBackwardParams& p, void* workspace) {
  const Layout layout(context, p);
  auto* const memory = static_cast<std::byte*>(workspace);
  const auto floats = [&](size_t at) { return reinterpret_cast<float*>(memory + at); };
  const cudaStream_t stream = StreamOf(context);
  const int dim = static_cast<int>(p.q.dim(3));
  const float c = p.scale * kLog2E;
  const auto unit = static_cast<float>(double{p.scale} / double{c});  // ln 2, but for c's rounding
  const RowStatistics statistics{floats(layout.lse2), floats(layout.delta), layout.padded};
  LaunchRows(MakeRowsArgs(p, unit, statistics), dim, stream);

  GradientArgs args;
  args.k = MapOf(p.k, kSubBlock);
  args.v = MapOf(p.v, kSubBlock);
  args.heads_per_key_head = static_cast<int>(p.q.dim(1) / p.k.dim(1));
  args.c = c;
  args.scale = p.scale;
  args.statistics = statistics;
  args.parts = floats(layout.parts);

  args.q = MapOf(p.q, p.block.q);
  args.d_o = MapOf(p.d_o, p.block.q);
  args.first = MapOf(p.dq, kGroupRows);
  args.first_rows = RowsOf(p.dq);
  args.heads = static_cast<int>(p.q.dim(1));
  args.lists = QueryLists(p.q, p.k, p.rows, p.block, p.mask);
  args.schedule =
      PlaceSchedule(memory + layout.query_schedule, args.lists.rows, layout.query_workers);
  MakeSchedule(args.lists, args.schedule, layout.query_workers, stream);
  LaunchQueryGradient(args, dim, layout.query_workers, stream);

  args.q = MapOf(p.q, kSubBlock);
  args.d_o = MapOf(p.d_o, kSubBlock);
  args.first = MapOf(p.dk, kGroupRows);
  args.second = MapOf(p.dv, kGroupRows);
  args.first_rows = RowsOf(p.dk);
  args.second_rows = RowsOf(p.dv);
  args.heads = static_cast<int>(p.k.dim(1));
  args.lists = KeyLists(p.q, p.k, p.columns, p.block, p.mask);
  args.schedule = PlaceSchedule(memory + layout.key_schedule, args.lists.rows, layout.key_workers);
  MakeSchedule(args.lists, args.schedule, layout.key_workers, stream);
  LaunchKeyGradient(args, dim, layout.key_workers, stream);
}

}  // namespace

const Operation<AttendBackwardParams>& AttendBackward() {
  static constexpr Operation<AttendBackwardParams> kOperation = {&Supports, &WorkspaceBytes, &Run};
  return kOperation;
}

}  // namespace suffice::cuda::hopper
