// SPDX-License-Identifier: Apache-2.0
// Attention over one key head at a time: V (and K where its rows do not do) is packed by all
// threads, then the query blocks of the heads that read it are handed out, longest list first. Each
// task owns its rows of o and lse, so neither the threads nor the order show in the result.
#include <algorithm>

#include "kernels/cpu/attention_cpu.h"

namespace suffice::cpu {
namespace {

// Two heads' keys and values must fit into a third-level cache for the next ones to be of use
// there.
constexpr int64_t kNearBytes = int64_t{24} << 20;

// Everything that a task needs; the loop bodies capture one reference to it, which std::function
// holds without allocating.
struct Plan {
  const AttendParams& p;
  const AttentionKernels& kernels;
  int64_t n_q, n_k, heads, group, t_q;
  int dim;
  int threads;
  PackedHead k, v;
  int32_t* order;  // tasks (head of the group, query block) of one key head
  char* scratch;   // of each worker
  size_t scratch_bytes;
  size_t bytes;
  int64_t near_bytes;  // keys and values of two heads

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
    threads = context.pool().threads();
    Carver carver(workspace);
    k = PackedHead(kernels, n_k, dim, true, false, carver);
    v = PackedHead(kernels, n_k, dim, false, true, carver);
    order = carver.Take<int32_t>(group * t_q);
    scratch_bytes = (kernels.attend_scratch(dim) + 63) / 64 * 64;
    scratch = carver.Take(static_cast<int64_t>(scratch_bytes) * threads);
    bytes = carver.bytes();
    near_bytes = 4 * n_k * dim * static_cast<int64_t>(SizeOf(p.q.dtype));
  }

  BlockList Blocks(int64_t h, int64_t i) const {
    if (p.rows.empty()) return {nullptr, p.mask.AllowedBlocks(i, n_q, n_k, p.block)};
    return ListOf(p.rows, (b * heads + h) * t_q + i);
  }

  void PackChunk(int64_t chunk) const {
    const int64_t begin = chunk * kPackChunk;
    const int64_t end = std::min(begin + kPackChunk, n_k);
    k.Pack(RowsOf(p.k, b, key_head), begin, end);
    v.Pack(RowsOf(p.v, b, key_head), begin, end);
  }

  // A slice of the next head's keys and values, the rows of o that this group will write, and the
  // queries and list of the next task: without this, each task and each head begins with cold
  // memory. Tasks take about as long as their neighbours, so that threads take turns.
  void SetAhead(int64_t n, AttendGroup& tiles) const {
    const auto set = [&](int slot, const Rows& rows, int64_t row) {
      if (rows.stride_bytes == head.k.row_bytes) tiles.far[slot] = rows.from(row).data;
    };
    const int64_t next_head = b * p.k.dim(1) + key_head + 1;
    if (next_head < p.k.dim(0) * p.k.dim(1) && near_bytes <= kNearBytes) {
      const int64_t next_b = next_head / p.k.dim(1);
      const int64_t slice = n % ((n_k + kStepRows - 1) / kStepRows) * kStepRows;
      set(0, RowsOf(p.k, next_b, next_head % p.k.dim(1)), slice);
      set(1, RowsOf(p.v, next_b, next_head % p.k.dim(1)), slice);
    }
    set(2, tiles.o, 0);
    if (n + threads < group * t_q) {
      const int64_t h = key_head * group + order[n + threads] / t_q;
      const int64_t i = order[n + threads] % t_q;
      set(3, RowsOf(p.q, b, h), i * p.block.q);
      tiles.then = {head.k.data, head.v.data, Blocks(h, i)};
    }
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
      SetAhead(n, tiles);
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
  for (plan.b = 0; plan.b < p.q.dim(0); ++plan.b) {
    for (plan.key_head = 0; plan.key_head < p.k.dim(1); ++plan.key_head) {
      if (plan.k.packs() || plan.v.packs()) {
        context.pool().ParallelFor(PackChunks(plan.n_k), 1,
                                   [&plan](int64_t chunk, int) { plan.PackChunk(chunk); });
      }
      plan.head = {plan.k.Along(RowsOf(p.k, plan.b, plan.key_head)),
                   plan.v.Across(RowsOf(p.v, plan.b, plan.key_head)),
                   plan.n_k,
                   p.block.k,
                   plan.dim,
                   p.scale,
                   p.mask.causal,
                   plan.n_k - plan.n_q};
      SortByWork(plan.order, plan.group * plan.t_q, [&](int32_t n) {
        return plan.Blocks(plan.key_head * plan.group + n / plan.t_q, n % plan.t_q).count;
      });
      context.pool().ParallelFor(plan.group * plan.t_q, 1,
                                 [&plan](int64_t n, int worker) { plan.AttendBlock(n, worker); });
    }
  }
}

namespace {

struct LsePlan {
  const FullLseParams& p;
  const AttentionKernels& kernels;
  int64_t n_k, group, rows, chunks;
  int dim;
  PackedHead k;
  char* scratch;
  size_t scratch_bytes;
  size_t bytes;

  int64_t b = 0, key_head = 0;

  LsePlan(const Context& context, const FullLseParams& params, void* workspace)
      : p(params), kernels(KernelsFor(context, params.q.dtype)) {
    n_k = p.k.dim(2);
    group = p.q.dim(1) / p.k.dim(1);
    rows = p.lse_full.dim(2);
    chunks = (rows + kTile - 1) / kTile;
    dim = static_cast<int>(p.q.dim(3));
    Carver carver(workspace);
    k = PackedHead(kernels, n_k, dim, true, false, carver);
    scratch_bytes = (kernels.attend_scratch(dim) + 63) / 64 * 64;
    scratch = carver.Take(static_cast<int64_t>(scratch_bytes) * context.pool().threads());
    bytes = carver.bytes();
  }

  void Chunk(int64_t n, int worker) const {
    const int64_t h = key_head * group + n / chunks;
    const int64_t first = n % chunks * kTile;
    FullLseTile tile{};
    tile.k = k.Along(RowsOf(p.k, b, key_head));
    tile.q = RowsOf(p.q, b, h);
    if (p.row_ids.empty()) {
      tile.q = tile.q.from(first);
    } else {
      tile.row_ids = p.row_ids.ptr<int64_t>({first});
    }
    tile.first = first;
    tile.rows = static_cast<int>(std::min<int64_t>(kTile, rows - first));
    tile.n_k = n_k;
    tile.dim = dim;
    tile.scale = p.scale;
    tile.causal = p.mask.causal;
    tile.shift = n_k - p.q.dim(2);
    tile.lse = p.lse_full.ptr<float>({b, h, first});
    tile.lse_stride = p.lse_full.stride(2);
    kernels.full_lse(tile, scratch + static_cast<size_t>(worker) * scratch_bytes);
  }
};

}  // namespace

size_t FullLseWorkspaceBytes(const Context& context, const FullLseParams& params) {
  return LsePlan(context, params, nullptr).bytes;
}

void FullLse(Context& context, const FullLseParams& p, void* workspace) {
  LsePlan plan(context, p, workspace);
  for (plan.b = 0; plan.b < p.q.dim(0); ++plan.b) {
    for (plan.key_head = 0; plan.key_head < p.k.dim(1); ++plan.key_head) {
      if (plan.k.packs()) {
        context.pool().ParallelFor(PackChunks(plan.n_k), 1, [&plan](int64_t chunk, int) {
          plan.k.Pack(RowsOf(plan.p.k, plan.b, plan.key_head), chunk * kPackChunk,
                      std::min((chunk + 1) * kPackChunk, plan.n_k));
        });
      }
      context.pool().ParallelFor(plan.group * plan.chunks, 1,
                                 [&plan](int64_t n, int worker) { plan.Chunk(n, worker); });
    }
  }
}

}  // namespace suffice::cpu
