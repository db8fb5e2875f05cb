// SPDX-License-Identifier: Apache-2.0
// Attention by key heads: the query blocks of the heads that read one are handed out, longest list
// first, before those of the next. Where V (or K, if its rows do not do) must be packed, all
// threads pack a head's and then attend to it, otherwise they go from head to head without waiting
// for each other. Each task owns its rows of o and lse, so neither the threads nor the order show
// in the result.
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
  int64_t n_q, n_k, key_heads, group, t_q;
  int dim;
  int threads;
  PackedHead k, v;
  int64_t at_once;  // key heads, counted through the batch, whose tasks make one loop
  int64_t tasks;    // of one key head
  int32_t* order;   // of each key head: its tasks (head of the group, query block)
  char* scratch;    // of each worker
  size_t scratch_bytes;
  size_t bytes;
  int64_t near_bytes;  // keys and values of two heads

  int64_t first_head = 0;  // of this loop

  Plan(const Context& context, const AttendParams& params, void* workspace)
      : p(params), kernels(KernelsFor(context, params.q.dtype)) {
    n_q = p.q.dim(2);
    n_k = p.k.dim(2);
    key_heads = p.k.dim(0) * p.k.dim(1);
    group = p.q.dim(1) / p.k.dim(1);
    t_q = BlockCount(n_q, p.block.q);
    dim = static_cast<int>(p.q.dim(3));
    threads = context.pool().threads();
    Carver carver(workspace);
    k = PackedHead(kernels, n_k, dim, true, false, carver);
    v = PackedHead(kernels, n_k, dim, false, true, carver);
    at_once = packs() ? 1 : key_heads;
    tasks = group * t_q;
    order = carver.Take<int32_t>(at_once * tasks);
    scratch_bytes = (kernels.attend_scratch(dim) + 63) / 64 * 64;
    scratch = carver.Take(static_cast<int64_t>(scratch_bytes) * threads);
    bytes = carver.bytes();
    near_bytes = 4 * n_k * dim * static_cast<int64_t>(SizeOf(p.q.dtype));
  }

  bool packs() const { return k.packs() || v.packs(); }
  Rows KeyRows(const View& view, int64_t key_head) const {
    return RowsOf(view, key_head / p.k.dim(1), key_head % p.k.dim(1));
  }

  struct Task {
    int64_t key_head, b, h, i;  // i: the query block
  };
  Task TaskAt(int64_t key_head, int32_t task) const {
    const int64_t h = key_head % p.k.dim(1) * group + task / t_q;
    return {key_head, key_head / p.k.dim(1), h, task % t_q};
  }
  Task TaskAt(int64_t n) const { return TaskAt(first_head + n / tasks, order[n]); }

  BlockList Blocks(const Task& task) const {
    if (p.rows.empty()) return {nullptr, p.mask.AllowedBlocks(task.i, n_q, n_k, p.block)};
    return ListOf(p.rows, (task.b * p.q.dim(1) + task.h) * t_q + task.i);
  }

  void PackChunk(int64_t chunk) const {
    const int64_t begin = chunk * kPackChunk;
    const int64_t end = std::min(begin + kPackChunk, n_k);
    k.Pack(KeyRows(p.k, first_head), begin, end);
    v.Pack(KeyRows(p.v, first_head), begin, end);
  }

  void Sort() const {
    for (int64_t n = 0; n < at_once; ++n) {
      SortByWork(order + n * tasks, tasks,
                 [&](int32_t task) { return Blocks(TaskAt(first_head + n, task)).count; });
    }
  }

  // A slice of the next head's keys and values, the rows of o that this group will write, and the
  // queries and list of the next task: without this, each task and each head begins with cold
  // memory. Tasks take about as long as their neighbours, so that threads take turns.
  void SetAhead(int64_t n, int64_t row_bytes, AttendGroup& tiles) const {
    const auto set = [&](int slot, const Rows& rows, int64_t row) {
      if (rows.stride_bytes == row_bytes) tiles.far[slot] = rows.from(row).data;
    };
    const int64_t next_head = first_head + n / tasks + 1;
    if (next_head < key_heads && near_bytes <= kNearBytes) {
      const int64_t slice = n % ((n_k + kStepRows - 1) / kStepRows) * kStepRows;
      set(0, KeyRows(p.k, next_head), slice);
      set(1, KeyRows(p.v, next_head), slice);
    }
    set(2, tiles.o, 0);
    if (n + threads < at_once * tasks) {
      const Task task = TaskAt(n + threads);
      set(3, RowsOf(p.q, task.b, task.h), task.i * p.block.q);
      tiles.then = {k.Along(KeyRows(p.k, task.key_head)).data,
                    v.Across(KeyRows(p.v, task.key_head)).data, Blocks(task)};
    }
  }

  void AttendBlock(int64_t n, int worker) const {
    const Task task = TaskAt(n);
    const AttendHead head{k.Along(KeyRows(p.k, task.key_head)),
                          v.Across(KeyRows(p.v, task.key_head)),
                          n_k,
                          p.block.k,
                          dim,
                          p.scale,
                          p.mask.causal,
                          n_k - n_q};
    const int64_t end = std::min((task.i + 1) * p.block.q, n_q);
    for (int64_t first = task.i * p.block.q; first < end; first += kGroup) {
      AttendGroup tiles{};
      tiles.q = RowsOf(p.q, task.b, task.h).from(first);
      tiles.o = RowsOf(p.o, task.b, task.h).from(first);
      tiles.first = first;
      tiles.rows = static_cast<int>(std::min<int64_t>(kGroup, end - first));
      tiles.blocks = Blocks(task);
      SetAhead(n, head.k.row_bytes, tiles);
      if (!p.lse.empty()) {
        tiles.lse = p.lse.ptr<float>({task.b, task.h, first});
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
  for (; plan.first_head < plan.key_heads; plan.first_head += plan.at_once) {
    if (plan.packs()) {
      context.pool().ParallelFor(PackChunks(plan.n_k), 1,
                                 [&plan](int64_t chunk, int) { plan.PackChunk(chunk); });
    }
    plan.Sort();
    context.pool().ParallelFor(plan.at_once * plan.tasks, 1,
                               [&plan](int64_t n, int worker) { plan.AttendBlock(n, worker); });
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
