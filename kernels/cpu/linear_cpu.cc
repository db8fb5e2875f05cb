// SPDX-License-Identifier: Apache-2.0
// Matrix products in tiles that depend on the shape alone; a tile's epilogue runs on it while it is
// in the cache of the core that made it.
#include <cstring>

#include "kernels/cpu/gemm.h"
#include "kernels/cpu/model_ops_cpu.h"

namespace suffice::cpu {
namespace {

size_t Align(size_t bytes) { return (bytes + 63) / 64 * 64; }

bool HasEpilogue(const LinearParams& p) {
  return !p.bias.empty() || p.activation != Activation::kNone || !p.pre_activation.empty() ||
         !p.gate.empty() || !p.residual.empty() || !p.ungated.empty();
}

// The operand as fp32: one row of memory for each index of its slow axis.
struct Widened {
  bool rows_slow;  // rows are contiguous in memory
  int64_t slow, fast;
  explicit Widened(const View& v)
      : rows_slow(v.dim(1) <= 1 || v.stride(1) == 1),
        slow(rows_slow ? v.dim(0) : v.dim(1)),
        fast(rows_slow ? v.dim(1) : v.dim(0)) {}
  size_t bytes() const { return Align(static_cast<size_t>(slow * fast) * sizeof(float)); }
  View Fill(Context& context, const View& v, float* to) const {
    const RowKernels& kernels = RowKernelsFor(context);
    const int64_t stride = rows_slow ? v.stride(0) : v.stride(1);
    context.pool().ParallelFor(slow, 16, [&](int64_t i, int) {
      kernels.axpby(fast, 1.0f, FloatsOf(v) + i * stride, 0.0f, {}, {to + i * fast, DType::kF32});
    });
    View view = ContiguousView(to, DType::kF32, {slow, fast}, v.device);
    return rows_slow ? view : view.transpose(0, 1);
  }
};

// How one call is cut up and where its scratch lies in the workspace.
struct Plan {
  int64_t m, n, k, tile_m, tile_n;
  bool widen, epilogue;
  DType in, out;
  size_t a_bytes = 0, b_bytes = 0, c_bytes = 0, gemm_bytes = 0;
  std::shared_ptr<const Gemm> gemms[2][2];  // [last row of tiles][last column of tiles]

  Plan(const Context& context, const LinearParams& p)
      : m(p.a.dim(0)),
        n(p.b.dim(1)),
        k(p.a.dim(1)),
        widen(p.a.dtype == DType::kBF16 && !GemmTakesBf16(context.isa())) {
    tile_n = std::min<int64_t>(n, 512);
    const int64_t columns = (n + tile_n - 1) / std::max<int64_t>(1, tile_n);
    tile_m = std::min<int64_t>(m, (m + 127) / 128 * columns < 16 ? 64 : 128);
    // Sums of widened operands are rounded to a bf16 output by the epilogue.
    epilogue = HasEpilogue(p) || (widen && p.out.dtype == DType::kBF16);
    in = widen ? DType::kF32 : p.a.dtype;
    out = epilogue ? DType::kF32 : p.out.dtype;
    View a = p.a, b = p.b;
    if (widen) {
      const Widened wide_a(a), wide_b(b);
      a_bytes = wide_a.bytes();
      b_bytes = wide_b.bytes();
      a = Layout(wide_a);
      b = Layout(wide_b);
    }
    if (m == 0 || n == 0 || k == 0) return;
    if (epilogue) c_bytes = Align(static_cast<size_t>(tile_m * tile_n) * sizeof(float));
    for (const int last_m : {0, 1}) {
      for (const int last_n : {0, 1}) {
        const int64_t tail_m = m % tile_m == 0 ? tile_m : m % tile_m;
        const int64_t tail_n = n % tile_n == 0 ? tile_n : n % tile_n;
        const GemmShape shape = {last_m != 0 ? tail_m : tile_m,
                                 last_n != 0 ? tail_n : tile_n,
                                 k,
                                 a.stride(0),
                                 a.stride(1),
                                 b.stride(0),
                                 b.stride(1),
                                 epilogue ? tile_n : p.out.stride(0),
                                 in,
                                 out,
                                 p.accumulate && !epilogue};
        gemms[last_m][last_n] = FindGemm(shape, context.isa());
        gemm_bytes = std::max(gemm_bytes, Align(gemms[last_m][last_n]->scratch_bytes()));
      }
    }
  }
  static View Layout(const Widened& w) {
    const View v = ContiguousView(nullptr, DType::kF32, {w.slow, w.fast});
    return w.rows_slow ? v : v.transpose(0, 1);
  }
  size_t per_thread() const { return c_bytes + gemm_bytes; }
  size_t bytes(int threads) const {
    return a_bytes + b_bytes + static_cast<size_t>(threads) * per_thread();
  }
};

size_t LinearWorkspace(const Context& context, const LinearParams& p) {
  return Plan(context, p).bytes(context.pool().threads());
}

const void* At(const View& v, int64_t i, int64_t j) {
  return static_cast<const char*>(v.data) +
         (i * v.stride(0) + j * v.stride(1)) * static_cast<int64_t>(SizeOf(v.dtype));
}

void Epilogue(const RowKernels& kernels, const LinearParams& p, const float* sums, int64_t sums_row,
              int64_t row0, int64_t rows, int64_t column, int64_t columns) {
  const int64_t rows_per_gate = p.gate.empty() ? 1 : p.a.dim(0) / p.gate.dim(0);
  const auto part = [&](const View& v, int64_t row) {
    return v.empty() ? Floats{} : RowOf(v, row) + column;
  };
  // An accumulated output with a bias is its own residual.
  const View& residual = p.accumulate ? p.out : p.residual;
  const Floats bias = p.bias.empty() ? Floats{} : FloatsOf(p.bias) + column;
  for (int64_t r = 0; r < rows; ++r) {
    const int64_t row = row0 + r;
    kernels.linear({columns, sums + r * sums_row, bias, part(p.pre_activation, row),
                    part(p.ungated, row), part(p.gate, row / rows_per_gate), part(residual, row),
                    part(p.out, row), p.activation});
  }
}

// A product over no terms: the epilogue of zeros.
void NothingToSum(Context& context, const LinearParams& p) {
  const RowKernels& kernels = RowKernelsFor(context);
  const std::vector<float> zeros(static_cast<size_t>(p.out.dim(1)));
  for (int64_t row = 0; row < p.out.dim(0); ++row) {
    Epilogue(kernels, p, zeros.data(), 0, row, 1, 0, p.out.dim(1));
  }
}

void Linear(Context& context, const LinearParams& p, void* workspace) {
  const Plan plan(context, p);
  if (plan.m == 0 || plan.n == 0) return;
  if (plan.k == 0) return NothingToSum(context, p);
  char* memory = static_cast<char*>(workspace);
  View a = p.a, b = p.b;
  if (plan.widen) {
    a = Widened(p.a).Fill(context, p.a, reinterpret_cast<float*>(memory));
    b = Widened(p.b).Fill(context, p.b, reinterpret_cast<float*>(memory + plan.a_bytes));
    memory += plan.a_bytes + plan.b_bytes;
  }
  const RowKernels& kernels = RowKernelsFor(context);
  const int64_t down = (plan.m + plan.tile_m - 1) / plan.tile_m;
  const int64_t across = (plan.n + plan.tile_n - 1) / plan.tile_n;
  context.pool().ParallelFor(down * across, 1, [&](int64_t tile, int worker) {
    const int64_t i = tile / across, j = tile % across;
    const int64_t row = i * plan.tile_m, column = j * plan.tile_n;
    char* own = memory + static_cast<size_t>(worker) * plan.per_thread();
    float* sums = reinterpret_cast<float*>(own);
    void* out = const_cast<void*>(At(p.out, row, column));
    const Gemm& gemm = *plan.gemms[i == down - 1][j == across - 1];
    gemm.Run(At(a, row, 0), At(b, 0, column), plan.epilogue ? sums : out, own + plan.c_bytes);
    if (!plan.epilogue) return;
    Epilogue(kernels, p, sums, plan.tile_n, row, std::min(plan.tile_m, plan.m - row), column,
             std::min(plan.tile_n, plan.n - column));
  });
}

void ActivationBackward(Context& context, const ActivationBackwardParams& p, void*) {
  const RowKernels& kernels = RowKernelsFor(context);
  context.pool().ParallelFor(p.dy.dim(0), 16, [&](int64_t i, int) {
    kernels.activation_backward(p.dy.dim(1), p.activation, RowOf(p.pre_activation, i),
                                RowOf(p.dy, i), RowOf(p.dx, i));
  });
}

size_t GateWorkspace(const Context&, const GateBackwardParams& p) {
  const RowChunks chunks(p.gate.dim(0), p.dy.dim(0));
  return p.d_gate.empty() ? 0 : static_cast<size_t>(chunks.count() * p.dy.dim(1)) * sizeof(float);
}

void GateBackward(Context& context, const GateBackwardParams& p, void* workspace) {
  const RowKernels& kernels = RowKernelsFor(context);
  const RowChunks chunks(p.gate.dim(0), p.dy.dim(0));
  const int64_t n = p.dy.dim(1);
  float* partials = p.d_gate.empty() ? nullptr : static_cast<float*>(workspace);
  context.pool().ParallelFor(chunks.count(), 1, [&](int64_t c, int) {
    const auto [group, begin, end] = chunks[c];
    float* sums = partials == nullptr ? nullptr : partials + c * n;
    if (sums != nullptr) std::fill(sums, sums + n, 0.0f);
    for (int64_t i = begin; i < end; ++i) {
      kernels.gate_backward(n, RowOf(p.h, i), RowOf(p.dy, i), RowOf(p.gate, group), RowOf(p.dh, i),
                            sums);
    }
  });
  if (partials != nullptr) AddChunkSums(context, chunks, partials, n, n, p.d_gate, true);
}

size_t SumRowsWorkspace(const Context&, const SumRowsParams& p) {
  const RowChunks chunks(p.out.dim(0), p.x.dim(0));
  return static_cast<size_t>(chunks.count() * p.x.dim(1)) * sizeof(float);
}

void SumRows(Context& context, const SumRowsParams& p, void* workspace) {
  const RowKernels& kernels = RowKernelsFor(context);
  const RowChunks chunks(p.out.dim(0), p.x.dim(0));
  const int64_t n = p.x.dim(1);
  float* partials = static_cast<float*>(workspace);
  context.pool().ParallelFor(chunks.count(), 1, [&](int64_t c, int) {
    const auto [group, begin, end] = chunks[c];
    std::fill(partials + c * n, partials + (c + 1) * n, 0.0f);
    for (int64_t i = begin; i < end; ++i) kernels.add_row(n, RowOf(p.x, i), partials + c * n);
  });
  AddChunkSums(context, chunks, partials, n, n, p.out, p.accumulate);
}

}  // namespace

void AddLinear(Backend& backend) {
  backend.linear = {&Supports<LinearParams>, &LinearWorkspace, &Linear};
  backend.activation_backward = Plain(&ActivationBackward);
  backend.gate_backward = {&Supports<GateBackwardParams>, &GateWorkspace, &GateBackward};
  backend.sum_rows = {&Supports<SumRowsParams>, &SumRowsWorkspace, &SumRows};
}

}  // namespace suffice::cpu
