// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/model_ops_cpu.h"
#include "lib/base/philox.h"

namespace suffice::cpu {
namespace {

void Axpby(Context& context, const AxpbyParams& p, void*) {
  const RowKernels& kernels = RowKernelsFor(context);
  const View& factors = p.alphas.empty() ? p.betas : p.alphas;
  const auto alpha = [&](int64_t g) {
    return p.alphas.empty() ? p.alpha : p.alpha * *p.alphas.ptr<float>({g});
  };
  const auto beta = [&](int64_t g) {
    return p.betas.empty() ? p.beta : p.beta * *p.betas.ptr<float>({g});
  };
  if (p.x.contiguous() && p.out.contiguous() && (p.y.empty() || p.y.contiguous())) {
    const int64_t count = p.out.shape.elements();
    const int64_t parts = factors.empty() ? 1 : factors.dim(0), part = count / parts;
    for (int64_t g = 0; g < parts; ++g) {
      ForPieces(context, part, [&](int64_t begin, int64_t end) {
        const int64_t at = g * part + begin;
        kernels.axpby(end - begin, alpha(g), FloatsOf(p.x) + at, beta(g),
                      p.y.empty() ? Floats{} : FloatsOf(p.y) + at, FloatsOf(p.out) + at);
      });
    }
    return;
  }
  const int64_t rows = p.out.dim(0), rows_per_part = factors.empty() ? rows : rows / factors.dim(0);
  context.pool().ParallelFor(rows, 16, [&](int64_t i, int) {
    const int64_t g = i / rows_per_part;
    kernels.axpby(p.out.dim(1), alpha(g), RowOf(p.x, i), beta(g), RowOf(p.y, i), RowOf(p.out, i));
  });
}

void Silu(Context& context, const SiluParams& p, void*) {
  const RowKernels& kernels = RowKernelsFor(context);
  ForPieces(context, p.x.shape.elements(), [&](int64_t begin, int64_t end) {
    kernels.silu(end - begin, FloatsOf(p.x) + begin,
                 p.dy.empty() ? Floats{} : FloatsOf(p.dy) + begin, FloatsOf(p.out) + begin);
  });
}

int64_t PiecesOf(int64_t count) { return (count + kElementsPerPiece - 1) / kElementsPerPiece; }

size_t MseWorkspace(const Context&, const MseParams& p) {
  return static_cast<size_t>(PiecesOf(p.x.dim(1))) * sizeof(double);
}

void Mse(Context& context, const MseParams& p, void* workspace) {
  const RowKernels& kernels = RowKernelsFor(context);
  const int64_t groups = p.x.dim(0), n = p.x.dim(1), pieces = PiecesOf(n);
  double* sums = static_cast<double*>(workspace);
  const float factor = static_cast<float>(2.0 * double{p.weight} / static_cast<double>(groups * n));
  for (int64_t g = 0; g < groups; ++g) {
    ForPieces(context, n, [&](int64_t begin, int64_t end) {
      sums[begin / kElementsPerPiece] =
          kernels.squared_difference(end - begin, RowOf(p.x, g) + begin, RowOf(p.y, g) + begin,
                                     p.d_x.empty() ? Floats{} : RowOf(p.d_x, g) + begin, factor);
    });
    double sum = 0.0;
    for (int64_t i = 0; i < pieces; ++i) sum += sums[i];
    *p.loss.ptr<float>({g}) = static_cast<float>(sum / static_cast<double>(n));
  }
}

size_t SumSquaresWorkspace(const Context&, const SumSquaresParams& p) {
  return static_cast<size_t>(PiecesOf(p.x.shape.elements())) * sizeof(double);
}

void SumSquares(Context& context, const SumSquaresParams& p, void* workspace) {
  const RowKernels& kernels = RowKernelsFor(context);
  const int64_t count = p.x.shape.elements();
  double* sums = static_cast<double*>(workspace);
  ForPieces(context, count, [&](int64_t begin, int64_t end) {
    sums[begin / kElementsPerPiece] = kernels.sum_squares(end - begin, FloatsOf(p.x) + begin);
  });
  double sum = p.accumulate ? double{*p.out.ptr<float>()} : 0.0;
  for (int64_t i = 0; i < PiecesOf(count); ++i) sum += sums[i];
  *p.out.ptr<float>() = static_cast<float>(sum);
}

void NormalFill(Context& context, const NormalFillParams& p, void*) {
  ForPieces(context, p.out.shape.elements(), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const float x = NormalAt(p.seed, p.stream, p.offset + static_cast<uint64_t>(i));
      if (p.out.dtype == DType::kBF16) {
        static_cast<BFloat16*>(p.out.data)[i] = ToBFloat16(x);
      } else {
        static_cast<float*>(p.out.data)[i] = x;
      }
    }
  });
}

template <class T>
void FillWith(Context& context, const View& out, T value) {
  T* data = static_cast<T*>(out.data);
  if (out.contiguous()) {
    ForPieces(context, out.shape.elements(),
              [&](int64_t begin, int64_t end) { std::fill(data + begin, data + end, value); });
    return;
  }
  for (int64_t i = 0; i < out.dim(0); ++i) {
    std::fill(data + i * out.stride(0), data + i * out.stride(0) + out.dim(1), value);
  }
}

void Fill(Context& context, const FillParams& p, void*) {
  if (p.out.dtype == DType::kBF16) {
    FillWith(context, p.out, ToBFloat16(p.value));
  } else {
    FillWith(context, p.out, p.value);
  }
}

}  // namespace

void AddElementwise(Backend& backend) {
  backend.axpby = Plain(&Axpby);
  backend.silu = Plain(&Silu);
  backend.mse = {&Supports<MseParams>, &MseWorkspace, &Mse};
  backend.sum_squares = {&Supports<SumSquaresParams>, &SumSquaresWorkspace, &SumSquares};
  backend.normal_fill = Plain(&NormalFill);
  backend.fill = Plain(&Fill);
}

}  // namespace suffice::cpu
