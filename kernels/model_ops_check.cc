// SPDX-License-Identifier: Apache-2.0
#include "kernels/model_ops_check.h"

#include "lib/base/error.h"

namespace suffice {
namespace {

using Reason = std::optional<std::string>;

// Collects the first thing wrong. Each rule names its operand, what was found and what was wanted.
class Checker {
 public:
  Reason reason() const { return reason_; }

  Checker& Given(const char* name, const View& v) {
    if (v.empty()) Say("{}: missing", name);
    return *this;
  }
  Checker& Type(const char* name, const View& v, DType wanted) {
    if (!v.empty() && v.dtype != wanted) {
      Say("{}: dtype {}, wanted {}", name, NameOf(v.dtype), NameOf(wanted));
    }
    return *this;
  }
  Checker& Float(const char* name, const View& v) {
    if (!v.empty() && v.dtype != DType::kF32 && v.dtype != DType::kBF16) {
      Say("{}: dtype {}, wanted f32 or bf16", name, NameOf(v.dtype));
    }
    return *this;
  }
  Checker& FloatLike(const char* name, const View& v, const View& like) {
    if (!v.empty() && v.dtype != DType::kF32 && v.dtype != like.dtype) {
      Say("{}: dtype {}, wanted f32 or {}", name, NameOf(v.dtype), NameOf(like.dtype));
    }
    return *this;
  }
  Checker& ShapeIs(const char* name, const View& v, const Shape& wanted) {
    if (!v.empty() && !(v.shape == wanted)) {
      Say("{}: shape {}, wanted {}", name, ToString(v.shape), ToString(wanted));
    }
    return *this;
  }
  Checker& Rank(const char* name, const View& v, int wanted) {
    if (!v.empty() && v.shape.rank != wanted) {
      Say("{}: shape {}, wanted {} axes", name, ToString(v.shape), wanted);
    }
    return *this;
  }
  Checker& LastContiguous(const char* name, const View& v) {
    if (!v.empty() && v.shape.rank > 0 && v.dim(v.shape.rank - 1) > 1 &&
        v.stride(v.shape.rank - 1) != 1) {
      Say("{}: last axis has stride {}, wanted 1", name, v.stride(v.shape.rank - 1));
    }
    return *this;
  }
  Checker& Contiguous(const char* name, const View& v) {
    if (!v.empty() && !v.contiguous()) Say("{}: not contiguous", name);
    return *this;
  }
  // A matrix of this shape and type.
  Checker& Matrix(const char* name, const View& v, int64_t m, int64_t n, DType dtype) {
    return ShapeIs(name, v, {m, n}).Type(name, v, dtype).LastContiguous(name, v);
  }
  // A matrix whose rows belong to groups of `m` rows.
  Checker& Groups(const char* name, const View& v, int64_t m, int64_t n) {
    if (v.empty()) return *this;
    Rank(name, v, 2).LastContiguous(name, v);
    if (!reason_ && (v.dim(1) != n || v.dim(0) < 1 || m % v.dim(0) != 0)) {
      Say("{}: shape {}, wanted (G, {}) with {} a multiple of G", name, ToString(v.shape), n, m);
    }
    return *this;
  }
  Checker& Require(bool condition, const char* text) {
    if (!condition) Say("{}", text);
    return *this;
  }

 private:
  template <class... Args>
  void Say(fmt::format_string<Args...> format, Args&&... args) {
    if (!reason_) reason_ = fmt::format(format, std::forward<Args>(args)...);
  }
  Reason reason_;
};

bool UnitStride(const View& v) {
  return v.dim(0) <= 1 || v.dim(1) <= 1 || v.stride(0) == 1 || v.stride(1) == 1;
}

Reason CheckSide(const char* name, const QkSide& side, const QkNormRopePoolParams& p) {
  Checker c;
  c.Rank(name, side.in, 4).Float(name, side.in).LastContiguous(name, side.in);
  if (c.reason()) return c.reason();
  const int64_t b = side.in.dim(0), n = side.in.dim(1), h = side.in.dim(2), d = side.in.dim(3);
  c.Given("out", side.out).ShapeIs("out", side.out, {b, h, n, d});
  c.Type("out", side.out, side.in.dtype).LastContiguous("out", side.out);
  c.FloatLike("weight", side.weight, side.in).ShapeIs("weight", side.weight, {d});
  c.Contiguous("weight", side.weight);
  if (!side.weight.empty()) c.Given("rrms", side.rrms);
  c.ShapeIs("rrms", side.rrms, {b, h, n}).Type("rrms", side.rrms, DType::kF32);
  c.Contiguous("rrms", side.rrms).Require(side.block > 0, "block: not positive");
  if (!side.pooled.empty() && side.block > 0) {
    c.ShapeIs("pooled", side.pooled, {b, h, (n + side.block - 1) / side.block, d});
    c.Type("pooled", side.pooled, DType::kF32).Contiguous("pooled", side.pooled);
  }
  c.Require(p.cos.empty() == p.sin.empty(), "cos, sin: one without the other");
  if (!p.cos.empty()) {
    c.Require(d % 2 == 0, "in: an odd number of features cannot be rotated");
    for (const View* table : {&p.cos, &p.sin}) {
      c.ShapeIs("cos, sin", *table, {n, d / 2}).Type("cos, sin", *table, DType::kF32);
      c.Contiguous("cos, sin", *table);
    }
  }
  return c.reason();
}

Reason CheckSide(const char* name, const QkSideBackward& side, const QkNormRopeBackwardParams& p) {
  Checker c;
  c.Rank(name, side.in, 4).Float(name, side.in).LastContiguous(name, side.in);
  if (c.reason()) return c.reason();
  const int64_t b = side.in.dim(0), n = side.in.dim(1), h = side.in.dim(2), d = side.in.dim(3);
  c.Given("d_out", side.d_out).ShapeIs("d_out", side.d_out, {b, h, n, d});
  c.Type("d_out", side.d_out, side.in.dtype).LastContiguous("d_out", side.d_out);
  c.Given("d_in", side.d_in).ShapeIs("d_in", side.d_in, {b, n, h, d});
  c.Type("d_in", side.d_in, side.in.dtype).LastContiguous("d_in", side.d_in);
  c.FloatLike("weight", side.weight, side.in).ShapeIs("weight", side.weight, {d});
  c.Contiguous("weight", side.weight);
  if (!side.weight.empty()) {
    c.Given("rrms", side.rrms).ShapeIs("rrms", side.rrms, {b, h, n});
    c.Type("rrms", side.rrms, DType::kF32).Contiguous("rrms", side.rrms);
    c.ShapeIs("d_weight", side.d_weight, {d}).Type("d_weight", side.d_weight, DType::kF32);
    c.Contiguous("d_weight", side.d_weight);
  }
  c.Require(p.cos.empty() == p.sin.empty(), "cos, sin: one without the other");
  if (!p.cos.empty()) {
    for (const View* table : {&p.cos, &p.sin}) {
      c.ShapeIs("cos, sin", *table, {n, d / 2}).Type("cos, sin", *table, DType::kF32);
      c.Contiguous("cos, sin", *table);
    }
  }
  return c.reason();
}

}  // namespace

Reason Check(const LinearParams& p) {
  Checker c;
  c.Given("a", p.a).Given("b", p.b).Given("out", p.out);
  c.Rank("a", p.a, 2).Rank("b", p.b, 2).Float("a", p.a).Float("out", p.out);
  if (c.reason()) return c.reason();
  const int64_t m = p.a.dim(0), k = p.a.dim(1), n = p.b.dim(1);
  const DType out = p.out.dtype;
  c.ShapeIs("b", p.b, {k, n}).Type("b", p.b, p.a.dtype);
  c.Require(UnitStride(p.a), "a: neither stride is 1")
      .Require(UnitStride(p.b), "b: neither stride is 1");
  c.FloatLike("out", p.out, p.a).ShapeIs("out", p.out, {m, n}).LastContiguous("out", p.out);
  c.FloatLike("bias", p.bias, p.a).ShapeIs("bias", p.bias, {n}).Contiguous("bias", p.bias);
  c.Matrix("pre_activation", p.pre_activation, m, n, out);
  c.Matrix("ungated", p.ungated, m, n, out);
  c.Matrix("residual", p.residual, m, n, out);
  c.Groups("gate", p.gate, m, n).Type("gate", p.gate, p.a.dtype);
  c.Require(p.gate.empty() || !p.residual.empty(), "gate: without a residual");
  c.Require(!p.accumulate || (p.activation == Activation::kNone && p.gate.empty() &&
                              p.residual.empty() && p.pre_activation.empty() && p.ungated.empty()),
            "accumulate: with an activation, gate or residual");
  return c.reason();
}

Reason Check(const ActivationBackwardParams& p) {
  Checker c;
  c.Given("pre_activation", p.pre_activation).Given("dy", p.dy).Given("dx", p.dx);
  c.Rank("dy", p.dy, 2).Float("dy", p.dy);
  if (c.reason()) return c.reason();
  const int64_t m = p.dy.dim(0), n = p.dy.dim(1);
  c.Matrix("pre_activation", p.pre_activation, m, n, p.dy.dtype);
  c.Matrix("dy", p.dy, m, n, p.dy.dtype).Matrix("dx", p.dx, m, n, p.dy.dtype);
  return c.reason();
}

Reason Check(const GateBackwardParams& p) {
  Checker c;
  c.Given("dy", p.dy).Given("gate", p.gate).Given("dh", p.dh);
  c.Rank("dy", p.dy, 2).Float("dy", p.dy);
  if (c.reason()) return c.reason();
  const int64_t m = p.dy.dim(0), n = p.dy.dim(1);
  c.Matrix("dy", p.dy, m, n, p.dy.dtype).Matrix("dh", p.dh, m, n, p.dy.dtype);
  c.Groups("gate", p.gate, m, n).Type("gate", p.gate, p.dy.dtype);
  if (c.reason() || p.d_gate.empty()) return c.reason();
  c.Given("h", p.h).Matrix("h", p.h, m, n, p.dy.dtype);
  c.Matrix("d_gate", p.d_gate, p.gate.dim(0), n, DType::kF32);
  return c.reason();
}

Reason Check(const SumRowsParams& p) {
  Checker c;
  c.Given("x", p.x).Given("out", p.out).Rank("x", p.x, 2).Float("x", p.x).LastContiguous("x", p.x);
  if (c.reason()) return c.reason();
  c.Groups("out", p.out, p.x.dim(0), p.x.dim(1)).Type("out", p.out, DType::kF32);
  return c.reason();
}

Reason Check(const NormModulateParams& p) {
  Checker c;
  c.Given("x", p.x).Given("y", p.y).Given("mean", p.mean).Given("rstd", p.rstd);
  c.Rank("x", p.x, 2).Float("x", p.x).LastContiguous("x", p.x);
  if (c.reason()) return c.reason();
  const int64_t m = p.x.dim(0), d = p.x.dim(1);
  c.Matrix("y", p.y, m, d, p.x.dtype);
  c.Require(p.scale.empty() == p.shift.empty(), "scale, shift: one without the other");
  c.Groups("scale", p.scale, m, d).FloatLike("scale", p.scale, p.x);
  c.Groups("shift", p.shift, m, d).FloatLike("shift", p.shift, p.x);
  if (!c.reason() && !p.scale.empty()) {
    c.Type("shift", p.shift, p.scale.dtype).ShapeIs("shift", p.shift, p.scale.shape);
  }
  for (const View* v : {&p.mean, &p.rstd}) {
    c.ShapeIs("mean, rstd", *v, {m}).Type("mean, rstd", *v, DType::kF32);
    c.Contiguous("mean, rstd", *v);
  }
  return c.reason();
}

Reason Check(const NormModulateBackwardParams& p) {
  Checker c;
  c.Given("x", p.x).Given("mean", p.mean).Given("rstd", p.rstd).Given("dy", p.dy).Given("dx", p.dx);
  c.Rank("x", p.x, 2).Float("x", p.x).LastContiguous("x", p.x);
  if (c.reason()) return c.reason();
  const int64_t m = p.x.dim(0), d = p.x.dim(1);
  c.Matrix("dy", p.dy, m, d, p.x.dtype).Matrix("dx", p.dx, m, d, p.x.dtype);
  c.Groups("scale", p.scale, m, d).FloatLike("scale", p.scale, p.x);
  c.Require(p.d_scale.empty() == p.d_shift.empty(), "d_scale, d_shift: one without the other");
  c.Require(p.d_scale.empty() || !p.scale.empty(), "d_scale: without scale");
  if (!c.reason() && !p.d_scale.empty()) {
    c.Matrix("d_scale", p.d_scale, p.scale.dim(0), d, DType::kF32);
    c.Matrix("d_shift", p.d_shift, p.scale.dim(0), d, DType::kF32);
  }
  for (const View* v : {&p.mean, &p.rstd}) {
    c.ShapeIs("mean, rstd", *v, {m}).Type("mean, rstd", *v, DType::kF32);
    c.Contiguous("mean, rstd", *v);
  }
  return c.reason();
}

Reason Check(const QkNormRopePoolParams& p) {
  if (p.q.in.empty()) return "q: missing";
  if (auto reason = CheckSide("q", p.q, p)) return "q: " + *reason;
  if (p.k.in.empty()) return std::nullopt;
  if (auto reason = CheckSide("k", p.k, p)) return "k: " + *reason;
  return std::nullopt;
}

Reason Check(const QkNormRopeBackwardParams& p) {
  if (p.q.in.empty()) return "q: missing";
  if (auto reason = CheckSide("q", p.q, p)) return "q: " + *reason;
  if (p.k.in.empty()) return std::nullopt;
  if (auto reason = CheckSide("k", p.k, p)) return "k: " + *reason;
  return std::nullopt;
}

Reason Check(const EmbedParams& p) {
  Checker c;
  c.Given("table", p.table).Given("ids", p.ids).Given("out", p.out);
  c.Rank("table", p.table, 2).Float("table", p.table).LastContiguous("table", p.table);
  c.Rank("ids", p.ids, 1).Type("ids", p.ids, DType::kI32).Contiguous("ids", p.ids);
  if (c.reason()) return c.reason();
  c.Matrix("out", p.out, p.ids.dim(0), p.table.dim(1), p.table.dtype);
  return c.reason();
}

Reason Check(const EmbedBackwardParams& p) {
  Checker c;
  c.Given("ids", p.ids).Given("d_out", p.d_out).Given("d_table", p.d_table);
  c.Rank("ids", p.ids, 1).Type("ids", p.ids, DType::kI32).Contiguous("ids", p.ids);
  c.Rank("d_table", p.d_table, 2).Type("d_table", p.d_table, DType::kF32);
  c.LastContiguous("d_table", p.d_table).Float("d_out", p.d_out).LastContiguous("d_out", p.d_out);
  if (c.reason()) return c.reason();
  c.ShapeIs("d_out", p.d_out, {p.ids.dim(0), p.d_table.dim(1)});
  return c.reason();
}

Reason Check(const TimeFeaturesParams& p) {
  Checker c;
  c.Given("t", p.t).Given("out", p.out);
  c.Rank("t", p.t, 1).Type("t", p.t, DType::kF32).Contiguous("t", p.t);
  c.Rank("out", p.out, 2).Float("out", p.out).LastContiguous("out", p.out);
  if (c.reason()) return c.reason();
  c.Require(p.out.dim(0) == p.t.dim(0), "out: rows differ from t's")
      .Require(p.out.dim(1) % 2 == 0, "out: an odd number of features");
  return c.reason();
}

Reason Check(const PatchifyParams& p) {
  Checker c;
  c.Given("video", p.video).Given("tokens", p.tokens);
  c.Rank("video", p.video, 5).Float("video", p.video).Float("tokens", p.tokens);
  c.Require(p.patch[0] > 0 && p.patch[1] > 0 && p.patch[2] > 0, "patch: not positive");
  if (c.reason()) return c.reason();
  int64_t tokens = 1, values = p.video.dim(1);
  for (int axis = 0; axis < 3; ++axis) {
    c.Require(p.video.dim(axis + 2) % p.patch[axis] == 0, "video: not a whole number of patches");
    tokens *= p.video.dim(axis + 2) / p.patch[axis];
    values *= p.patch[axis];
  }
  c.ShapeIs("tokens", p.tokens, {p.video.dim(0), tokens, values}).Contiguous("tokens", p.tokens);
  c.ShapeIs("order", p.order, {tokens}).Type("order", p.order, DType::kI32);
  c.Contiguous("order", p.order);
  return c.reason();
}

Reason Check(const AxpbyParams& p) {
  Checker c;
  c.Given("x", p.x).Given("out", p.out).Float("x", p.x).Float("y", p.y).Float("out", p.out);
  if (c.reason()) return c.reason();
  const bool flat = p.x.contiguous() && p.out.contiguous() && (p.y.empty() || p.y.contiguous());
  int64_t parts = p.out.shape.elements();
  if (flat) {
    c.Require(p.x.shape.elements() == parts, "x, out: sizes differ");
    c.Require(p.y.empty() || p.y.shape.elements() == parts, "y, out: sizes differ");
  } else {
    c.Rank("out", p.out, 2).LastContiguous("out", p.out);
    c.ShapeIs("x", p.x, p.out.shape).LastContiguous("x", p.x);
    c.ShapeIs("y", p.y, p.out.shape).LastContiguous("y", p.y);
    parts = p.out.dim(0);
  }
  for (const View* v : {&p.alphas, &p.betas}) {
    c.Rank("alphas, betas", *v, 1).Type("alphas, betas", *v, DType::kF32);
    c.Contiguous("alphas, betas", *v);
    c.Require(v->empty() || (v->dim(0) > 0 && parts % v->dim(0) == 0),
              "alphas, betas: not as many as equal parts");
  }
  c.Require(p.betas.empty() || !p.y.empty(), "betas: without y");
  c.Require(p.alphas.empty() || p.betas.empty() || p.alphas.shape == p.betas.shape,
            "alphas, betas: lengths differ");
  return c.reason();
}

Reason Check(const SiluParams& p) {
  Checker c;
  c.Given("x", p.x).Given("out", p.out).Float("x", p.x);
  for (const View* v : {&p.out, &p.dy}) c.Type("out, dy", *v, p.x.dtype);
  for (const View* v : {&p.x, &p.out, &p.dy}) c.Contiguous("x, out, dy", *v);
  if (c.reason()) return c.reason();
  c.Require(p.out.shape.elements() == p.x.shape.elements(), "out: size differs from x's");
  c.Require(p.dy.empty() || p.dy.shape.elements() == p.x.shape.elements(),
            "dy: size differs from x's");
  return c.reason();
}

Reason Check(const MseParams& p) {
  Checker c;
  c.Given("x", p.x).Given("y", p.y).Given("loss", p.loss);
  c.Rank("x", p.x, 2).Float("x", p.x).Float("y", p.y);
  if (c.reason()) return c.reason();
  c.ShapeIs("y", p.y, p.x.shape).ShapeIs("d_x", p.d_x, p.x.shape).Type("d_x", p.d_x, p.x.dtype);
  c.ShapeIs("loss", p.loss, {p.x.dim(0)}).Type("loss", p.loss, DType::kF32);
  for (const View* v : {&p.x, &p.y, &p.d_x, &p.loss}) c.Contiguous("x, y, d_x, loss", *v);
  c.Require(p.x.dim(1) > 0, "x: empty groups");
  return c.reason();
}

Reason Check(const SumSquaresParams& p) {
  Checker c;
  c.Given("x", p.x).Given("out", p.out).Float("x", p.x).Contiguous("x", p.x);
  c.ShapeIs("out", p.out, {1}).Type("out", p.out, DType::kF32);
  return c.reason();
}

Reason Check(const NormalFillParams& p) {
  Checker c;
  c.Given("out", p.out).Float("out", p.out).Contiguous("out", p.out);
  return c.reason();
}

Reason Check(const FillParams& p) {
  Checker c;
  c.Given("out", p.out).Float("out", p.out);
  if (!c.reason() && !p.out.contiguous()) c.Rank("out", p.out, 2).LastContiguous("out", p.out);
  return c.reason();
}

Reason Check(const AdamWParams& p) {
  Checker c;
  c.Given("master", p.master).Given("m", p.m).Given("v", p.v).Given("grad", p.grad);
  c.Float("compute", p.compute);
  for (const View* v : {&p.master, &p.m, &p.v, &p.grad, &p.ema}) {
    c.Type("master, m, v, grad, ema", *v, DType::kF32);
  }
  for (const View* v : {&p.master, &p.m, &p.v, &p.grad, &p.ema, &p.compute}) {
    c.Contiguous("master, m, v, grad, ema, compute", *v);
    c.Require(v->empty() || v->shape.elements() == p.master.shape.elements(),
              "master, m, v, grad, ema, compute: sizes differ");
  }
  c.Given("grad_square_sum", p.grad_square_sum);
  c.ShapeIs("grad_square_sum", p.grad_square_sum, {1});
  c.Type("grad_square_sum", p.grad_square_sum, DType::kF32);
  c.Given("schedule", p.schedule).Type("schedule", p.schedule, DType::kF32);
  c.ShapeIs("schedule", p.schedule, {4});
  return c.reason();
}

namespace {

// The first operand that lies elsewhere, then Check.
template <class Params, class... Views>
Reason CheckOn(const Context& context, const Params& p, const Views&... operands) {
  for (const View* v : {&operands...}) {
    if (!v->empty() && !(v->device == context.device())) return "an operand on another device";
  }
  return Check(p);
}

}  // namespace

Reason Validate(const Context& context, const LinearParams& p) {
  return CheckOn(context, p, p.a, p.b, p.bias, p.pre_activation, p.gate, p.residual, p.ungated,
                 p.out);
}
Reason Validate(const Context& context, const ActivationBackwardParams& p) {
  return CheckOn(context, p, p.pre_activation, p.dy, p.dx);
}
Reason Validate(const Context& context, const GateBackwardParams& p) {
  return CheckOn(context, p, p.h, p.dy, p.gate, p.dh, p.d_gate);
}
Reason Validate(const Context& context, const SumRowsParams& p) {
  return CheckOn(context, p, p.x, p.out);
}
Reason Validate(const Context& context, const NormModulateParams& p) {
  return CheckOn(context, p, p.x, p.scale, p.shift, p.y, p.mean, p.rstd);
}
Reason Validate(const Context& context, const NormModulateBackwardParams& p) {
  return CheckOn(context, p, p.x, p.scale, p.mean, p.rstd, p.dy, p.dx, p.d_scale, p.d_shift);
}
Reason Validate(const Context& context, const QkNormRopePoolParams& p) {
  return CheckOn(context, p, p.q.in, p.q.weight, p.q.out, p.q.pooled, p.q.rrms, p.k.in, p.k.weight,
                 p.k.out, p.k.pooled, p.k.rrms, p.cos, p.sin);
}
Reason Validate(const Context& context, const QkNormRopeBackwardParams& p) {
  return CheckOn(context, p, p.q.in, p.q.weight, p.q.rrms, p.q.d_out, p.q.d_in, p.q.d_weight,
                 p.k.in, p.k.weight, p.k.rrms, p.k.d_out, p.k.d_in, p.k.d_weight, p.cos, p.sin);
}
Reason Validate(const Context& context, const EmbedParams& p) {
  return CheckOn(context, p, p.table, p.ids, p.out);
}
Reason Validate(const Context& context, const EmbedBackwardParams& p) {
  return CheckOn(context, p, p.ids, p.d_out, p.d_table);
}
Reason Validate(const Context& context, const TimeFeaturesParams& p) {
  return CheckOn(context, p, p.t, p.out);
}
Reason Validate(const Context& context, const PatchifyParams& p) {
  return CheckOn(context, p, p.video, p.tokens, p.order);
}
Reason Validate(const Context& context, const AxpbyParams& p) {
  return CheckOn(context, p, p.x, p.y, p.out, p.alphas, p.betas);
}
Reason Validate(const Context& context, const SiluParams& p) {
  return CheckOn(context, p, p.x, p.out, p.dy);
}
Reason Validate(const Context& context, const MseParams& p) {
  return CheckOn(context, p, p.x, p.y, p.loss, p.d_x);
}
Reason Validate(const Context& context, const SumSquaresParams& p) {
  return CheckOn(context, p, p.x, p.out);
}
Reason Validate(const Context& context, const NormalFillParams& p) {
  return CheckOn(context, p, p.out);
}
Reason Validate(const Context& context, const FillParams& p) { return CheckOn(context, p, p.out); }
Reason Validate(const Context& context, const AdamWParams& p) {
  return CheckOn(context, p, p.master, p.m, p.v, p.grad, p.compute, p.ema, p.grad_square_sum);
}

}  // namespace suffice
