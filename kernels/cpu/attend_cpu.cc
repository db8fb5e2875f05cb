// SPDX-License-Identifier: Apache-2.0
// Attention over one key head at a time: V (and K where its rows do not do) is packed by all
// threads, then the query blocks of the heads that read it are handed out, longest list first. Each
// task owns its rows of o and lse, so neither the threads nor the order show in the result.
#include <algorithm>

#include "kernels/cpu/attention_cpu.h"

namespace suffice::cpu {
namespace {

// Everything that a task needs; the loop bodies capture one reference to it, which std::function
// holds without allocating.
struct Plan {
  const AttendParams& p;
  const AttentionKernels& kernels;
  int64_t n_q, n_k, heads, group, t_q;
  int dim;
  PackedRows k, v;
  int32_t* order;  // tasks (head of the group, query block) of one key head
  char* scratch;   // of each worker
  size_t scratch_bytes;
  size_t bytes;

  int64_t b = 0, key_head = 0;
  AttendHead head{};

  Plan(const Context& context, const AttendParams& params, void* workspace)
      : p(params), kernels(KernelsFor(context, params.q.dtype)) {
    n_q = p.q.dim(2);
    n_k = p.k.dim(2);
    heads = p.q.dim(1);
    group = heads / p.k.dim(1);
    t_q = BlockCount(n_q, p.block.q);
    dim = static_cast<int>(p.q.dim(3));
    Carver carver(workspace);
    k = PackedRows::AlongRows(kernels, n_k, dim, carver);
    v = PackedRows::AcrossRows(kernels, n_k, dim, carver);
    order = carver.Take<int32_t>(group * t_q);
    scratch_bytes = (kernels.attend_scratch(dim) + 63) / 64 * 64;
    scratch = carver.Take(static_cast<int64_t>(scratch_bytes) * context.pool().threads());
    bytes = carver.bytes();
  }

  BlockList Blocks(int64_t h, int64_t i) const {
    if (p.rows.empty()) return {nullptr, p.mask.AllowedBlocks(i, n_q, n_k, p.block)};
    const int64_t* ptr = p.rows.ptr.ptr<int64_t>({(b * heads + h) * t_q + i});
    return {p.rows.ids.ptr<uint16_t>() + ptr[0], ptr[1] - ptr[0]};
  }

  void PackChunk(int64_t chunk) const {
    const int64_t begin = chunk * kPackChunk;
    const int64_t end = std::min(begin + kPackChunk, n_k);
    PackRows(kernels, k, RowsOf(p.k, b, key_head), begin, end);
    PackRows(kernels, v, RowsOf(p.v, b, key_head), begin, end);
  }

  void SortTasks() const {
    const auto tasks = static_cast<int32_t>(group * t_q);
    for (int32_t n = 0; n < tasks; ++n) order[n] = n;
    const auto count = [&](int32_t n) { return Blocks(key_head * group + n / t_q, n % t_q).count; };
    std::sort(order, order + tasks, [&](int32_t x, int32_t y) {
      const int64_t nx = count(x);
      const int64_t ny = count(y);
      return nx != ny ? nx > ny : x < y;
    });
  }

  void AttendBlock(int64_t n, int worker) const {
    const int64_t h = key_head * group + order[n] / t_q;
    const int64_t i = order[n] % t_q;
    const int64_t end = std::min((i + 1) * p.block.q, n_q);
    for (int64_t first = i * p.block.q; first < end; first += kGroup) {
      AttendGroup tiles{};
      tiles.q = RowsOf(p.q, b, h).from(first);
      tiles.o = RowsOf(p.o, b, h).from(first);
      tiles.first = first;
      tiles.rows = static_cast<int>(std::min<int64_t>(kGroup, end - first));
      tiles.blocks = Blocks(h, i);
      if (!p.lse.empty()) {
        tiles.lse = p.lse.ptr<float>({b, h, first});
        tiles.lse_stride = p.lse.stride(2);
      }
      kernels.attend(head, tiles, scratch + static_cast<size_t>(worker) * scratch_bytes);
    }
  }
};

}  // namespace

size_t AttendWorkspaceBytes(const Context& context, const AttendParams& params) {
  return Plan(context, params, nullptr).bytes;
}

void Attend(Context& context, const AttendParams& p, void* workspace) {
  Plan plan(context, p, workspace);
  const bool packs =
      plan.k.form != PackedRows::Form::kInPlace || plan.v.form != PackedRows::Form::kInPlace;
  for (plan.b = 0; plan.b < p.q.dim(0); ++plan.b) {
    for (plan.key_head = 0; plan.key_head < p.k.dim(1); ++plan.key_head) {
      if (packs) {
        context.pool().ParallelFor((plan.n_k + kPackChunk - 1) / kPackChunk, 1,
                                   [&plan](int64_t chunk, int) { plan.PackChunk(chunk); });
      }
      plan.head = {plan.k.Units(RowsOf(p.k, plan.b, plan.key_head), false),
                   plan.v.Units(RowsOf(p.v, plan.b, plan.key_head), true),
                   plan.n_k,
                   p.block.k,
                   plan.dim,
                   p.scale,
                   p.mask.causal,
                   plan.n_k - plan.n_q};
      plan.SortTasks();
      context.pool().ParallelFor(plan.group * plan.t_q, 1,
                                 [&plan](int64_t n, int worker) { plan.AttendBlock(n, worker); });
    }
  }
}

}  // namespace suffice::cpu
