// SPDX-License-Identifier: Apache-2.0
// Pool, and select in four loops over threads: pack the pooled keys; score and choose, kScoreRows
// query blocks at a time, into one bit a block; write the row lists behind their summed counts;
// transpose head by head. Counts are summed by one thread.
#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>

#include "kernels/cpu/attention_cpu.h"
#include "kernels/cpu/select_tile.h"

namespace suffice::cpu {
namespace {

const SelectKernels& SelectKernelsFor(const Context& context) {
#if defined(__x86_64__)
  switch (context.isa()) {
    case CpuIsa::kAvx512Bf16:
    case CpuIsa::kAvx512:
      return SelectKernelsAvx512();
    case CpuIsa::kAvx2:
      return SelectKernelsAvx2();
    case CpuIsa::kPortable:
      break;
  }
#endif
  return SelectKernelsPortable();
}

struct Plan {
  const SelectParams& p;
  const SelectKernels& kernels;
  int64_t batch, heads, t_q, t_k, key_heads, tiles, words, chunks;
  int dim;
  float* keys;      // (B, H_kv, tiles, D, kTile)
  uint64_t* keep;   // (B, H, T_q, words)
  int32_t* counts;  // (B, H, T_q)
  int64_t* column;  // (B, H, T_k): next free place of a column, from its head's first
  char* scratch;    // of each worker: scores, then keys and weights of a row
  size_t scratch_bytes;
  uint8_t* nan;  // of each worker
  size_t bytes;

  Plan(const Context& context, const SelectParams& params, void* workspace)
      : p(params), kernels(SelectKernelsFor(context)) {
    const View& leader = p.k_pooled.empty() ? p.scores : p.q_pooled;
    batch = leader.dim(0);
    heads = leader.dim(1);
    t_q = BlockCount(p.n_q, p.block.q);
    t_k = BlockCount(p.n_k, p.block.k);
    key_heads = p.k_pooled.empty() ? 0 : p.k_pooled.dim(1);
    dim = p.k_pooled.empty() ? 0 : static_cast<int>(p.q_pooled.dim(3));
    tiles = (t_k + kTile - 1) / kTile;
    words = (t_k + 63) / 64;
    chunks = (t_q + kScoreRows - 1) / kScoreRows;
    const int threads = context.pool().threads();
    Carver carver(workspace);
    keys = carver.Take<float>(batch * key_heads * tiles * dim * kTile);
    keep = carver.Take<uint64_t>(batch * heads * t_q * words);
    counts = carver.Take<int32_t>(batch * heads * t_q);
    column = carver.Take<int64_t>(p.columns.empty() ? 0 : batch * heads * t_k);
    scratch_bytes =
        static_cast<size_t>(kScoreRows * tiles * kTile + 2 * tiles * kTile) * sizeof(float);
    scratch = carver.Take(static_cast<int64_t>(scratch_bytes) * threads);
    nan = carver.Take<uint8_t>(threads);
    bytes = carver.bytes();
  }

  float* KeysOf(int64_t b, int64_t key_head) const {
    return keys + (b * key_heads + key_head) * tiles * dim * kTile;
  }

  void PackTile(int64_t n) const {
    const int64_t tile = n % tiles;
    const int64_t key_head = n / tiles % key_heads;
    const int64_t b = n / tiles / key_heads;
    const int64_t first = tile * kTile;
    kernels.pack_keys(p.k_pooled.ptr<float>({b, key_head, first}), p.k_pooled.stride(2),
                      static_cast<int>(std::min<int64_t>(kTile, t_k - first)), dim,
                      KeysOf(b, key_head) + tile * dim * kTile);
  }

  // Scores, and the choice, of the query blocks of one chunk.
  void Chunk(int64_t n, int worker) const {
    const int64_t first = n % chunks * kScoreRows;
    const int64_t h = n / chunks % heads;
    const int64_t b = n / chunks / heads;
    const int64_t rows = std::min<int64_t>(kScoreRows, t_q - first);
    const int64_t stride = tiles * kTile;
    float* scores = reinterpret_cast<float*>(scratch + static_cast<size_t>(worker) * scratch_bytes);
    auto* row_scratch = reinterpret_cast<uint32_t*>(scores + kScoreRows * stride);
    if (!p.k_pooled.empty()) {
      kernels.scores(p.q_pooled.ptr<float>({b, h, first}), p.q_pooled.stride(2),
                     static_cast<int>(rows), KeysOf(b, h / (heads / key_heads)),
                     static_cast<int>(tiles), dim, p.scale, scores, stride);
    }
    RowRule rule{p.rule, p.setting, {}};
    if (!p.settings.empty()) {
      rule.setting = Clamped({*p.settings.ptr<int32_t>({h, 0}), *p.settings.ptr<int32_t>({h, 1})});
    }
    bool any_nan = false;
    for (int64_t r = 0; r < rows; ++r) {
      const int64_t i = first + r;
      const int64_t row = (b * heads + h) * t_q + i;
      const int64_t allowed = p.mask.AllowedBlocks(i, p.n_q, p.n_k, p.block);
      const float* chosen = scores + r * stride;
      if (!p.scores.empty()) {
        float* out = p.scores.ptr<float>({b, h, i});
        if (p.k_pooled.empty()) {
          chosen = out;
        } else {
          std::copy(chosen, chosen + allowed, out);
        }
        std::fill(out + allowed, out + t_k, -std::numeric_limits<float>::infinity());
      }
      rule.pinned = PinnedOf(p, i);
      if (p.rule == SelectRule::kMask) rule.given = p.given.ptr<uint8_t>({b, h, i});
      uint64_t* bits = keep + row * words;
      std::fill(bits, bits + words, uint64_t{0});
      counts[row] = static_cast<int32_t>(
          kernels.select_row(chosen, allowed, rule, row_scratch, bits, &any_nan));
    }
    if (any_nan) nan[worker] = 1;
  }

  void SumCounts() const {
    int64_t* ptr = p.rows.ptr.ptr<int64_t>();
    ptr[0] = 0;
    for (int64_t row = 0; row < batch * heads * t_q; ++row) ptr[row + 1] = ptr[row] + counts[row];
  }

  void WriteRow(int64_t row) const {
    uint16_t* ids = p.rows.ids.ptr<uint16_t>() + p.rows.ptr.ptr<int64_t>()[row];
    for (int64_t word = 0; word < words; ++word) {
      for (uint64_t bits = keep[row * words + word]; bits != 0; bits &= bits - 1) {
        *ids++ = static_cast<uint16_t>(word * 64 + std::countr_zero(bits));
      }
    }
  }

  // Column pointers of a head, and then its ids: rows ascend, so the ids of each column do.
  void Transpose(int64_t head) const {
    const int64_t* row_ptr = p.rows.ptr.ptr<int64_t>() + head * t_q;
    const uint16_t* row_ids = p.rows.ids.ptr<uint16_t>();
    int64_t* ptr = p.columns.ptr.ptr<int64_t>() + head * t_k;
    uint16_t* ids = p.columns.ids.ptr<uint16_t>() + row_ptr[0];
    int64_t* next = column + head * t_k;
    std::fill(next, next + t_k, int64_t{0});
    for (int64_t n = row_ptr[0]; n < row_ptr[t_q]; ++n) ++next[row_ids[n]];
    int64_t sum = 0;
    for (int64_t j = 0; j < t_k; ++j) {
      const int64_t count = next[j];
      next[j] = sum;
      ptr[j] = row_ptr[0] + sum;
      sum += count;
    }
    // The last head's end; every other head's is the next one's beginning.
    if (head == batch * heads - 1) ptr[t_k] = row_ptr[t_q];
    for (int64_t i = 0; i < t_q; ++i) {
      for (int64_t n = row_ptr[i]; n < row_ptr[i + 1]; ++n) {
        ids[next[row_ids[n]]++] = static_cast<uint16_t>(i);
      }
    }
  }
};

}  // namespace

void Pool(Context& context, const PoolParams& p, void*) {
  struct Job {
    const PoolParams& p;
    const SelectKernels& kernels;
    int64_t blocks;
    void Run(int64_t n) const {
      const int64_t i = n % blocks;
      const int64_t h = n / blocks % p.x.dim(1);
      const int64_t b = n / blocks / p.x.dim(1);
      const int64_t first = i * p.block;
      const int64_t rows = std::min<int64_t>(p.block, p.x.dim(2) - first);
      const auto pool = p.x.dtype == DType::kBF16 ? kernels.pool_bf16 : kernels.pool_f32;
      pool(RowsOf(p.x, b, h).from(first), rows, static_cast<int>(p.x.dim(3)),
           p.pooled.ptr<float>({b, h, i}));
    }
  };
  const Job job{p, SelectKernelsFor(context), p.pooled.dim(2)};
  context.pool().ParallelFor(p.x.dim(0) * p.x.dim(1) * job.blocks, 16,
                             [&job](int64_t n, int) { job.Run(n); });
}

size_t SelectWorkspaceBytes(const Context& context, const SelectParams& params) {
  return Plan(context, params, nullptr).bytes;
}

void Select(Context& context, const SelectParams& p, void* workspace) {
  const Plan plan(context, p, workspace);
  ThreadPool& pool = context.pool();
  std::memset(plan.nan, 0, static_cast<size_t>(pool.threads()));
  if (!p.k_pooled.empty()) {
    pool.ParallelFor(plan.batch * plan.key_heads * plan.tiles, 1,
                     [&plan](int64_t n, int) { plan.PackTile(n); });
  }
  pool.ParallelFor(plan.batch * plan.heads * plan.chunks, 1,
                   [&plan](int64_t n, int worker) { plan.Chunk(n, worker); });
  plan.SumCounts();
  pool.ParallelFor(plan.batch * plan.heads * plan.t_q, 64,
                   [&plan](int64_t row, int) { plan.WriteRow(row); });
  if (!p.columns.empty()) {
    pool.ParallelFor(plan.batch * plan.heads, 1,
                     [&plan](int64_t head, int) { plan.Transpose(head); });
  }
  if (!p.nan_flag.empty()) {
    *p.nan_flag.ptr<int32_t>() = *std::max_element(plan.nan, plan.nan + pool.threads());
  }
}

}  // namespace suffice::cpu
