// SPDX-License-Identifier: Apache-2.0
// The backward pass over one key head and the query heads that read it: statistics and packing by
// all threads, then dq over query blocks by row lists, then dk and dv over key blocks by column
// lists. Every task owns its outputs: nothing is added across tasks, so neither the threads nor the
// order show.
#include <algorithm>

#include "kernels/cpu/attention_cpu.h"

namespace suffice::cpu {
namespace {

struct Plan {
  const AttendBackwardParams& p;
  const AttentionKernels& kernels;
  int64_t n_q, n_k, heads, group, t_q, t_k;
  int dim;
  PackedHead k, v;
  // Of the heads of one group, one after the other.
  PackedHead* q;
  PackedHead* d_o;
  float* neg_lse;
  float* delta;
  int32_t* order;
  char* scratch;
  size_t scratch_bytes;
  size_t bytes;

  int64_t b = 0, key_head = 0;

  Plan(const Context& context, const AttendBackwardParams& params, void* workspace)
      : p(params), kernels(KernelsFor(context, params.q.dtype)) {
    n_q = p.q.dim(2);
    n_k = p.k.dim(2);
    heads = p.q.dim(1);
    group = heads / p.k.dim(1);
    t_q = BlockCount(n_q, p.block.q);
    t_k = BlockCount(n_k, p.block.k);
    dim = static_cast<int>(p.q.dim(3));
    Carver carver(workspace);
    q = carver.Take<PackedHead>(group);
    d_o = carver.Take<PackedHead>(group);
    k = PackedHead(kernels, n_k, dim, true, true, carver);
    v = PackedHead(kernels, n_k, dim, true, false, carver);
    for (int64_t h = 0; h < group; ++h) {
      const PackedHead packed_q(kernels, n_q, dim, true, true, carver);
      const PackedHead packed_d_o(kernels, n_q, dim, true, true, carver);
      if (workspace == nullptr) continue;
      q[h] = packed_q;
      d_o[h] = packed_d_o;
    }
    neg_lse = carver.Take<float>(group * n_q);
    delta = carver.Take<float>(group * n_q);
    order = carver.Take<int32_t>(std::max(group * t_q, t_k));
    scratch_bytes = (kernels.gradient_scratch(dim) + 63) / 64 * 64;
    scratch = carver.Take(static_cast<int64_t>(scratch_bytes) * context.pool().threads());
    bytes = carver.bytes();
  }

  void* ScratchOf(int worker) const {
    return scratch + static_cast<size_t>(worker) * scratch_bytes;
  }

  // Key blocks of a query block, and query blocks of a key block.
  BlockList RowBlocks(int64_t h, int64_t i) const {
    if (p.rows.empty()) return {nullptr, p.mask.AllowedBlocks(i, n_q, n_k, p.block)};
    return ListOf(p.rows, (b * heads + h) * t_q + i);
  }
  BlockList ColumnBlocks(int64_t h, int64_t j) const {
    if (p.columns.empty()) return {nullptr, t_q};
    return ListOf(p.columns, (b * heads + h) * t_k + j);
  }

  void PackKeys(int64_t chunk) const {
    const int64_t begin = chunk * kPackChunk;
    const int64_t end = std::min(begin + kPackChunk, n_k);
    k.Pack(RowsOf(p.k, b, key_head), begin, end);
    v.Pack(RowsOf(p.v, b, key_head), begin, end);
  }

  void PackQueries(int64_t n) const {
    const int64_t local = n / PackChunks(n_q);
    const int64_t begin = n % PackChunks(n_q) * kPackChunk;
    const int64_t end = std::min(begin + kPackChunk, n_q);
    const int64_t h = key_head * group + local;
    const Rows gradients = RowsOf(p.d_o, b, h);
    q[local].Pack(RowsOf(p.q, b, h), begin, end);
    d_o[local].Pack(gradients, begin, end);
    kernels.row_statistics(RowsOf(p.o, b, h).from(begin), gradients.from(begin),
                           p.lse.ptr<float>({b, h, begin}), p.lse.stride(2), end - begin, dim,
                           neg_lse + local * n_q + begin, delta + local * n_q + begin);
  }

  void QueryBlock(int64_t n, int worker) const {
    const int64_t local = order[n] / t_q;
    const int64_t i = order[n] % t_q;
    const int64_t h = key_head * group + local;
    const Rows keys = RowsOf(p.k, b, key_head);
    QueryGradient job{};
    job.k = k.Along(keys);
    job.k_across = k.Across(keys);
    job.v = v.Along(RowsOf(p.v, b, key_head));
    job.blocks = RowBlocks(h, i);
    job.block_k = p.block.k;
    job.n_k = n_k;
    job.dim = dim;
    job.scale = p.scale;
    job.causal = p.mask.causal;
    job.shift = n_k - n_q;
    const int64_t end = std::min((i + 1) * p.block.q, n_q);
    for (int64_t first = i * p.block.q; first < end; first += kTile) {
      job.q = RowsOf(p.q, b, h).from(first);
      job.d_o = RowsOf(p.d_o, b, h).from(first);
      job.dq = RowsOf(p.dq, b, h).from(first);
      job.first = first;
      job.rows = static_cast<int>(std::min<int64_t>(kTile, end - first));
      job.neg_lse = neg_lse + local * n_q + first;
      job.delta = delta + local * n_q + first;
      kernels.query_gradient(job, ScratchOf(worker));
    }
  }

  void KeyBlock(int64_t n, int worker) const {
    const int64_t j = order[n];
    KeyGradient job{};
    job.n_q = n_q;
    job.dim = dim;
    job.scale = p.scale;
    job.causal = p.mask.causal;
    job.shift = n_k - n_q;
    const int64_t end = std::min((j + 1) * p.block.k, n_k);
    for (int64_t first = j * p.block.k; first < end; first += kTile) {
      job.k = RowsOf(p.k, b, key_head).from(first);
      job.v = RowsOf(p.v, b, key_head).from(first);
      job.dk = RowsOf(p.dk, b, key_head).from(first);
      job.dv = RowsOf(p.dv, b, key_head).from(first);
      job.first = first;
      job.rows = static_cast<int>(std::min<int64_t>(kTile, end - first));
      kernels.key_gradient_begin(job, ScratchOf(worker));
      for (int64_t local = 0; local < group; ++local) {
        const int64_t h = key_head * group + local;
        const Rows queries = RowsOf(p.q, b, h);
        const Rows gradients = RowsOf(p.d_o, b, h);
        const KeyGradientHead head = {q[local].Along(queries),  d_o[local].Along(gradients),
                                      q[local].Across(queries), d_o[local].Across(gradients),
                                      neg_lse + local * n_q,    delta + local * n_q,
                                      ColumnBlocks(h, j),       p.block.q};
        kernels.key_gradient_add(job, head, ScratchOf(worker));
      }
      kernels.key_gradient_end(job, ScratchOf(worker));
    }
  }
};

}  // namespace

size_t AttendBackwardWorkspaceBytes(const Context& context, const AttendBackwardParams& params) {
  return Plan(context, params, nullptr).bytes;
}

void AttendBackward(Context& context, const AttendBackwardParams& p, void* workspace) {
  Plan plan(context, p, workspace);
  ThreadPool& pool = context.pool();
  for (plan.b = 0; plan.b < p.q.dim(0); ++plan.b) {
    for (plan.key_head = 0; plan.key_head < p.k.dim(1); ++plan.key_head) {
      const int64_t first_head = plan.key_head * plan.group;
      pool.ParallelFor(PackChunks(plan.n_k), 1, [&plan](int64_t n, int) { plan.PackKeys(n); });
      pool.ParallelFor(plan.group * PackChunks(plan.n_q), 1,
                       [&plan](int64_t n, int) { plan.PackQueries(n); });
      SortByWork(plan.order, plan.group * plan.t_q, [&](int32_t n) {
        return plan.RowBlocks(first_head + n / plan.t_q, n % plan.t_q).count;
      });
      pool.ParallelFor(plan.group * plan.t_q, 1,
                       [&plan](int64_t n, int worker) { plan.QueryBlock(n, worker); });
      SortByWork(plan.order, plan.t_k, [&](int32_t j) {
        int64_t count = 0;
        for (int64_t h = 0; h < plan.group; ++h)
          count += plan.ColumnBlocks(first_head + h, j).count;
        return count;
      });
      pool.ParallelFor(plan.t_k, 1, [&plan](int64_t n, int worker) { plan.KeyBlock(n, worker); });
    }
  }
}

}  // namespace suffice::cpu
