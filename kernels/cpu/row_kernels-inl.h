// SPDX-License-Identifier: Apache-2.0
// The bodies of row_kernels.h. Included by row_kernels_<set>.cc, which defines SUFFICE_SET, the
// namespace, and SUFFICE_TABLE, the name of the function that returns the table.

#include "kernels/cpu/row_kernels.h"

#define SUFFICE_INLINE_MEMBER inline __attribute__((always_inline))

namespace suffice::cpu {
namespace SUFFICE_SET {

#include "kernels/cpu/lanes-inl.h"

// Calls body.template operator()<T>() with the lane type of a dtype.
template <class Body>
SUFFICE_INLINE auto WithType(DType dtype, const Body& body) {
  return dtype == DType::kBF16 ? body(Bf16{}) : body(F32{});
}

constexpr float kGeluScale = 0.7978845608f;  // sqrt(2 / pi)
constexpr float kGeluCubic = 0.044715f;

// x (1 + tanh u) / 2 = x sigmoid(2 u).
SUFFICE_INLINE Lanes Gelu(Lanes x) {
  return x * SigmoidLanes(2.0f * kGeluScale * x * (1.0f + kGeluCubic * (x * x)));
}
SUFFICE_INLINE Lanes GeluSlope(Lanes x) {
  const Lanes s = SigmoidLanes(2.0f * kGeluScale * x * (1.0f + kGeluCubic * (x * x)));
  const Lanes inner = 2.0f * kGeluScale * (1.0f + 3.0f * kGeluCubic * (x * x));
  return s + x * (s * (1.0f - s)) * inner;
}
SUFFICE_INLINE Lanes SiluSlope(Lanes x) {
  const Lanes s = SigmoidLanes(x);
  return s * (1.0f + x * (1.0f - s));
}
SUFFICE_INLINE Lanes Activate(Activation activation, Lanes x) {
  if (activation == Activation::kGeluTanh) return Gelu(x);
  if (activation == Activation::kSilu) return x * SigmoidLanes(x);
  return x;
}
SUFFICE_INLINE Lanes Slope(Activation activation, Lanes x) {
  if (activation == Activation::kGeluTanh) return GeluSlope(x);
  if (activation == Activation::kSilu) return SiluSlope(x);
  return Splat(1.0f);
}

// Bias, scale and weights are fp32 or bf16 apart from the row's own type.
SUFFICE_INLINE Lanes ReadAny(const Floats& f, int64_t i, int64_t left) {
  return f.dtype == DType::kBF16 ? Span<Bf16>(f).Read(i, left) : Span<F32>(f).Read(i, left);
}
SUFFICE_INLINE void WriteAny(const Floats& f, int64_t i, int64_t left, Lanes x) {
  f.dtype == DType::kBF16 ? Span<Bf16>(f).Write(i, left, x) : Span<F32>(f).Write(i, left, x);
}

static void AddOuter(int64_t n, const float a[4], const float* b_, float* c, int64_t stride) {
  const Span<F32> b((const void*)b_);
  for (int64_t i = 0; i < n; i += kLanes) {
    const Lanes x = b.Read(i, n - i);
    for (int r = 0; r < 4; ++r) {
      const Span<F32> row((const void*)(c + r * stride));
      row.Write(i, n - i, row.Read(i, n - i) + a[r] * x);
    }
  }
}

static void LinearEpilogue(const LinearRow& row) {
  WithType(row.out.dtype, [&](auto type) {
    typedef decltype(type) T;
    const Span<F32> sums((const void*)row.sums);
    const Span<T> pre(row.pre_activation), ungated(row.ungated), residual(row.residual),
        out(row.out);
    for (int64_t i = 0; i < row.n; i += kLanes) {
      const int64_t left = row.n - i;
      Lanes x = sums.Read(i, left);
      if (row.bias) x += ReadAny(row.bias, i, left);
      if (pre) pre.Write(i, left, x);
      x = Activate(row.activation, x);
      if (ungated) ungated.Write(i, left, x);
      if (row.gate) x = x * ReadAny(row.gate, i, left);
      if (residual) x = residual.Read(i, left) + x;
      out.Write(i, left, x);
    }
  });
}

static void ActivationBackward(int64_t n, Activation activation, Floats pre_activation, Floats dy_,
                               Floats dx_) {
  WithType(dy_.dtype, [&](auto type) {
    typedef decltype(type) T;
    const Span<T> pre(pre_activation), dy(dy_), dx(dx_);
    for (int64_t i = 0; i < n; i += kLanes) {
      const int64_t left = n - i;
      dx.Write(i, left, dy.Read(i, left) * Slope(activation, pre.Read(i, left)));
    }
  });
}

static void Silu(int64_t n, Floats x_, Floats dy_, Floats out_) {
  WithType(x_.dtype, [&](auto type) {
    typedef decltype(type) T;
    const Span<T> in(x_), dy(dy_), out(out_);
    for (int64_t i = 0; i < n; i += kLanes) {
      const int64_t left = n - i;
      const Lanes x = in.Read(i, left);
      out.Write(i, left, dy ? dy.Read(i, left) * SiluSlope(x) : x * SigmoidLanes(x));
    }
  });
}

static void GateBackward(int64_t n, Floats h_, Floats dy_, Floats gate, Floats dh_, float* d_gate) {
  WithType(dy_.dtype, [&](auto type) {
    typedef decltype(type) T;
    const Span<T> h(h_), dy(dy_), dh(dh_);
    const Span<F32> sums((const void*)d_gate);
    for (int64_t i = 0; i < n; i += kLanes) {
      const int64_t left = n - i;
      const Lanes y = dy.Read(i, left);
      if (sums) sums.Write(i, left, sums.Read(i, left) + y * h.Read(i, left));
      dh.Write(i, left, y * ReadAny(gate, i, left));
    }
  });
}

static void AddRow(int64_t n, Floats x_, float* sums_) {
  WithType(x_.dtype, [&](auto type) {
    const Span<decltype(type)> x(x_);
    const Span<F32> sums((const void*)sums_);
    for (int64_t i = 0; i < n; i += kLanes) {
      sums.Write(i, n - i, sums.Read(i, n - i) + x.Read(i, n - i));
    }
  });
}

static void Norm(const NormRow& row) {
  WithType(row.x.dtype, [&](auto type) {
    typedef decltype(type) T;
    const Span<T> x(row.x), y(row.y);
    Lanes sum = {}, squares = {};
    for (int64_t i = 0; i < row.d; i += kLanes) sum += x.Read(i, row.d - i);
    const float mean = SumLanes(sum) / (float)row.d;
    for (int64_t i = 0; i < row.d; i += kLanes) {
      const Lanes centred = Keep(x.Read(i, row.d - i) - mean, row.d - i);
      squares = squares + centred * centred;
    }
    const float rstd = 1.0f / __builtin_sqrtf(SumLanes(squares) / (float)row.d + row.eps);
    *row.mean = mean;
    *row.rstd = rstd;
    for (int64_t i = 0; i < row.d; i += kLanes) {
      const int64_t left = row.d - i;
      Lanes normed = (x.Read(i, left) - mean) * rstd;
      if (row.scale) {
        normed = normed * (1.0f + ReadAny(row.scale, i, left)) + ReadAny(row.shift, i, left);
      }
      y.Write(i, left, normed);
    }
  });
}

static void NormBackward(const NormBackwardRow& row) {
  WithType(row.x.dtype, [&](auto type) {
    typedef decltype(type) T;
    const Span<T> x(row.x), dy(row.dy), dx(row.dx);
    const Span<F32> d_scale((const void*)row.d_scale), d_shift((const void*)row.d_shift);
    Lanes sum = {}, product = {};
    for (int64_t i = 0; i < row.d; i += kLanes) {
      const int64_t left = row.d - i;
      const Lanes normed = (x.Read(i, left) - row.mean) * row.rstd;
      const Lanes y = dy.Read(i, left);  // zero past the end, and so is all that it multiplies
      const Lanes g = row.scale ? y * (1.0f + ReadAny(row.scale, i, left)) : y;
      sum += g;
      product = product + g * normed;
      if (d_scale) {
        d_scale.Write(i, left, d_scale.Read(i, left) + y * normed);
        d_shift.Write(i, left, d_shift.Read(i, left) + y);
      }
    }
    const float mean_g = SumLanes(sum) / (float)row.d;
    const float mean_product = SumLanes(product) / (float)row.d;
    for (int64_t i = 0; i < row.d; i += kLanes) {
      const int64_t left = row.d - i;
      const Lanes normed = (x.Read(i, left) - row.mean) * row.rstd;
      Lanes g = dy.Read(i, left);
      if (row.scale) g = g * (1.0f + ReadAny(row.scale, i, left));
      Lanes d = row.rstd * (g - mean_g - normed * mean_product);
      if (row.accumulate_dx) d += dx.Read(i, left);
      dx.Write(i, left, d);
    }
  });
}

// Sixteen features from feature i on hold eight pairs: their cosines, each twice.
SUFFICE_INLINE Lanes Twice(const float* table, int64_t i, int64_t left) {
  typedef float Eight __attribute__((vector_size(32)));
  typedef float LooseEight __attribute__((vector_size(32), aligned(4), may_alias));
  Eight pairs = {};
  if (left >= kLanes) {
    pairs = *(const LooseEight*)(table + i / 2);
  } else {
    for (int64_t j = 0; j < left / 2; ++j) pairs[j] = table[i / 2 + j];
  }
  return __builtin_shufflevector(pairs, pairs, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7);
}
// Each pair (a, b) becomes (a c - b s, b c + a s); `direction` -1 rotates back.
SUFFICE_INLINE Lanes Rotate(Lanes x, Lanes c, Lanes s, float direction) {
  const Ints swap = {1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14};
  const Lanes sign = {-1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1};
  return x * c + __builtin_shuffle(x, swap) * (s * (sign * direction));
}

static void Qk(const QkRow& row) {
  WithType(row.in.dtype, [&](auto type) {
    typedef decltype(type) T;
    const Span<T> in(row.in), out(row.out);
    float r = 1.0f;
    if (row.weight || row.rrms != nullptr) {
      Lanes squares = {};
      for (int64_t i = 0; i < row.d; i += kLanes) {
        const Lanes x = in.Read(i, row.d - i);
        squares = squares + x * x;
      }
      r = 1.0f / __builtin_sqrtf(SumLanes(squares) / (float)row.d + row.eps);
      if (row.rrms != nullptr) *row.rrms = r;
    }
    for (int64_t i = 0; i < row.d; i += kLanes) {
      const int64_t left = row.d - i;
      Lanes x = in.Read(i, left);
      if (row.weight) x = x * r * ReadAny(row.weight, i, left);
      if (row.cos != nullptr) {
        x = Rotate(x, Twice(row.cos, i, left), Twice(row.sin, i, left), 1.0f);
      }
      out.Write(i, left, x);
    }
  });
}

static void QkBackward(const QkBackwardRow& row) {
  WithType(row.in.dtype, [&](auto type) {
    typedef decltype(type) T;
    const Span<T> in(row.in), d_out(row.d_out), d_in(row.d_in);
    const Span<F32> d_weight((const void*)row.d_weight);
    const auto gradient = [&](int64_t i, int64_t left) __attribute__((always_inline)) {
      Lanes g = d_out.Read(i, left);
      if (row.cos != nullptr) {
        g = Rotate(g, Twice(row.cos, i, left), Twice(row.sin, i, left), -1.0f);
      }
      return g;
    };
    if (!row.weight) {
      for (int64_t i = 0; i < row.d; i += kLanes) d_in.Write(i, row.d - i, gradient(i, row.d - i));
      return;
    }
    Lanes product = {};
    for (int64_t i = 0; i < row.d; i += kLanes) {
      const int64_t left = row.d - i;
      const Lanes x = in.Read(i, left), g = gradient(i, left);
      if (d_weight) d_weight.Write(i, left, d_weight.Read(i, left) + g * (x * row.rrms));
      product = product + g * ReadAny(row.weight, i, left) * x;
    }
    const float r = row.rrms;
    const float pull = r * r * r * (SumLanes(product) / (float)row.d);
    for (int64_t i = 0; i < row.d; i += kLanes) {
      const int64_t left = row.d - i;
      const Lanes g = gradient(i, left) * ReadAny(row.weight, i, left);
      d_in.Write(i, left, r * g - in.Read(i, left) * pull);
    }
  });
}

static void Axpby(int64_t n, float alpha, Floats x, float beta, Floats y, Floats out) {
  for (int64_t i = 0; i < n; i += kLanes) {
    const int64_t left = n - i;
    Lanes z = alpha * ReadAny(x, i, left);
    if (y) z = z + beta * ReadAny(y, i, left);
    WriteAny(out, i, left, z);
  }
}

static double SquaredDifference(int64_t n, Floats x, Floats y, Floats d_x, float factor) {
  Lanes sum = {};
  for (int64_t i = 0; i < n; i += kLanes) {
    const int64_t left = n - i;
    const Lanes difference = ReadAny(x, i, left) - ReadAny(y, i, left);
    sum = sum + difference * difference;
    if (d_x) WriteAny(d_x, i, left, factor * difference);
  }
  return SumLanesWide(sum);
}

static double SumSquares(int64_t n, Floats x_) {
  Lanes sum = {};
  for (int64_t i = 0; i < n; i += kLanes) {
    const Lanes x = ReadAny(x_, i, n - i);
    sum = sum + x * x;
  }
  return SumLanesWide(sum);
}

static void AdamW(const AdamWPiece& p) {
  const Span<F32> master((const void*)p.master), m_((const void*)p.m), v_((const void*)p.v);
  const Span<F32> ema((const void*)p.ema), grad((const void*)p.grad);
  for (int64_t i = 0; i < p.n; i += kLanes) {
    const int64_t left = p.n - i;
    const Lanes g = p.clip * grad.Read(i, left);
    const Lanes m = p.beta1 * m_.Read(i, left) + (1.0f - p.beta1) * g;
    const Lanes v = p.beta2 * v_.Read(i, left) + (1.0f - p.beta2) * (g * g);
    const Lanes step = m / p.correction1 / (SqrtLanes(v / p.correction2) + p.eps);
    const Lanes old = master.Read(i, left);
    const Lanes w = old - p.lr * (step + p.weight_decay * old);
    m_.Write(i, left, m);
    v_.Write(i, left, v);
    master.Write(i, left, w);
    if (p.compute) WriteAny(p.compute, i, left, w);
    if (ema) ema.Write(i, left, p.ema_decay * ema.Read(i, left) + (1.0f - p.ema_decay) * w);
  }
}

}  // namespace SUFFICE_SET

const RowKernels& SUFFICE_TABLE() {
  static constexpr RowKernels kTable = {
      &SUFFICE_SET::AddOuter,   &SUFFICE_SET::LinearEpilogue, &SUFFICE_SET::ActivationBackward,
      &SUFFICE_SET::Silu,       &SUFFICE_SET::GateBackward,   &SUFFICE_SET::AddRow,
      &SUFFICE_SET::Norm,       &SUFFICE_SET::NormBackward,   &SUFFICE_SET::Qk,
      &SUFFICE_SET::QkBackward, &SUFFICE_SET::Axpby,          &SUFFICE_SET::SquaredDifference,
      &SUFFICE_SET::SumSquares, &SUFFICE_SET::AdamW,
  };
  return kTable;
}

}  // namespace suffice::cpu
