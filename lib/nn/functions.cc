// SPDX-License-Identifier: Apache-2.0
#include "lib/nn/functions.h"

namespace suffice {
namespace {

// A gradient as the products need it: fp32 sums for a bf16 layer are rounded once.
Tensor As(DType dtype, const Tensor& gradient) {
  if (gradient.dtype() == dtype) return gradient;
  Tensor rounded(gradient.context(), dtype, gradient.shape());
  gradient.context().Run(AxpbyParams{.x = gradient, .out = rounded});
  return rounded;
}

// The three gradients of y = x W^T + bias.
void LinearBackward(Context& context, const Var& x, const Var& weight, const Var& bias,
                    const Tensor& gradient) {
  const Tensor dy = As(x.dtype(), gradient);
  if (bias.requires_grad()) {
    const Var::Target target = bias.GradTarget();
    context.Run(SumRowsParams{.x = dy,
                              .out = target.tensor.Reshape({1, dy.shape()[1]}),
                              .accumulate = target.accumulate});
  }
  if (weight.requires_grad()) {
    const Var::Target target = weight.GradTarget();
    context.Run(LinearParams{.a = dy.Transpose(0, 1),
                             .b = x.value(),
                             .out = target.tensor,
                             .accumulate = target.accumulate});
  }
  if (x.requires_grad()) {
    const Var::Target target = x.GradTarget();
    context.Run(LinearParams{
        .a = dy, .b = weight.value(), .out = target.tensor, .accumulate = target.accumulate});
  }
}

// A vector (D) as one row (1, D).
Tensor AsRows(const Tensor& tensor) {
  return tensor.shape().rank == 1 ? tensor.Reshape({1, tensor.shape()[0]}) : tensor;
}

View OrNone(const Var& var) { return var.empty() ? View{} : var.value().view(); }

}  // namespace

Var Linear(Tape& tape, const Var& x, const Var& weight, const Var& bias, Activation activation,
           std::optional<DType> out) {
  Context& context = tape.context();
  const Tensor y(context, out.value_or(x.dtype()), {x.shape()[0], weight.shape()[0]});
  const Var result = tape.Result(y, {x, weight, bias});
  Tensor pre_activation;
  if (activation != Activation::kNone && result.requires_grad()) {
    pre_activation = Tensor(context, y.dtype(), y.shape());
  }
  context.Run(LinearParams{.a = x.value(),
                           .b = weight.value().Transpose(0, 1),
                           .bias = OrNone(bias),
                           .activation = activation,
                           .pre_activation = pre_activation,
                           .out = y});
  tape.RecordFor(result, [=, &context](const Tensor& gradient) {
    Tensor dy = gradient;
    if (activation != Activation::kNone) {
      dy = As(pre_activation.dtype(), gradient);
      context.Run(ActivationBackwardParams{
          .pre_activation = pre_activation, .dy = dy, .dx = dy, .activation = activation});
    }
    LinearBackward(context, x, weight, bias, dy);
  });
  return result;
}

Var LinearGateResidual(Tape& tape, const Var& x, const Var& weight, const Var& bias,
                       const Var& gate, const Var& residual) {
  Context& context = tape.context();
  const Tensor y(context, x.dtype(), {x.shape()[0], weight.shape()[0]});
  const Var result = tape.Result(y, {x, weight, bias, gate, residual});
  Tensor ungated;
  if (gate.requires_grad()) ungated = Tensor(context, y.dtype(), y.shape());
  context.Run(LinearParams{.a = x.value(),
                           .b = weight.value().Transpose(0, 1),
                           .bias = OrNone(bias),
                           .gate = OrNone(gate),
                           .residual = residual.value(),
                           .ungated = ungated,
                           .out = y});
  tape.RecordFor(result, [=, &context](const Tensor& gradient) {
    Tensor dh = gradient;
    if (!gate.empty()) {
      dh = Tensor(context, y.dtype(), y.shape());
      GateBackwardParams back{.h = ungated, .dy = gradient, .gate = gate.value(), .dh = dh};
      if (gate.requires_grad()) back.d_gate = gate.GradAccumulator();
      context.Run(back);
    }
    LinearBackward(context, x, weight, bias, dh);
    if (residual.requires_grad()) residual.AddGrad(gradient);  // last: this hands it over
  });
  return result;
}

Var NormModulate(Tape& tape, const Var& x, const Var& scale, const Var& shift) {
  Context& context = tape.context();
  const int64_t rows = x.shape()[0];
  const Tensor y(context, x.dtype(), x.shape());
  const Tensor mean(context, DType::kF32, {rows}), rstd(context, DType::kF32, {rows});
  const Var result = tape.Result(y, {x, scale, shift});
  Tensor scale_rows, shift_rows;
  if (!scale.empty()) {
    scale_rows = AsRows(scale.value());
    shift_rows = AsRows(shift.value());
  }
  context.Run(NormModulateParams{.x = x.value(),
                                 .scale = scale_rows,
                                 .shift = shift_rows,
                                 .y = y,
                                 .mean = mean,
                                 .rstd = rstd});
  tape.RecordFor(result, [=, &context](const Tensor& gradient) {
    NormModulateBackwardParams back{
        .x = x.value(), .scale = scale_rows, .mean = mean, .rstd = rstd, .dy = gradient};
    Tensor unused;
    if (x.requires_grad()) {
      const Var::Target target = x.GradTarget();
      back.dx = target.tensor;
      back.accumulate_dx = target.accumulate;
    } else {
      unused = Tensor(context, x.dtype(), x.shape());
      back.dx = unused;
    }
    if (scale.requires_grad()) {
      back.d_scale = AsRows(scale.GradAccumulator());
      back.d_shift = AsRows(shift.GradAccumulator());
    }
    context.Run(back);
  });
  return result;
}

Var Silu(Tape& tape, const Var& x) {
  Context& context = tape.context();
  const Tensor y(context, x.dtype(), x.shape());
  const Var result = tape.Result(y, {x});
  context.Run(SiluParams{.x = x.value(), .out = y});
  tape.RecordFor(result, [=, &context](const Tensor& gradient) {
    const Tensor dy = As(x.dtype(), gradient);
    const Tensor dx(context, x.dtype(), x.shape());
    context.Run(SiluParams{.x = x.value(), .out = dx, .dy = dy});
    x.AddGrad(dx);
  });
  return result;
}

Var Add(Tape& tape, const Var& x, const Var& y) {
  Context& context = tape.context();
  const Tensor sum(context, x.dtype(), x.shape());
  const Var result = tape.Result(sum, {x, y});
  context.Run(AxpbyParams{.x = x.value(), .y = y.value(), .out = sum, .beta = 1.0f});
  tape.RecordFor(result, [=, &context](const Tensor& gradient) {
    if (x.requires_grad()) {
      const Tensor copy(context, gradient.dtype(), gradient.shape());
      context.Run(AxpbyParams{.x = gradient, .out = copy});
      x.AddGrad(copy);
    }
    if (y.requires_grad()) y.AddGrad(gradient);
  });
  return result;
}

Var Embed(Tape& tape, const Var& table, const Tensor& ids) {
  Context& context = tape.context();
  const Tensor rows(context, table.dtype(), {ids.shape()[0], table.shape()[1]});
  const Var result = tape.Result(rows, {table});
  context.Run(EmbedParams{.table = table.value(), .ids = ids, .out = rows});
  tape.RecordFor(result, [=, &context](const Tensor& gradient) {
    context.Run(
        EmbedBackwardParams{.ids = ids, .d_out = gradient, .d_table = table.GradAccumulator()});
  });
  return result;
}

Tensor MseLoss(Tape& tape, const Var& x, const Tensor& target, int64_t groups, float weight) {
  Context& context = tape.context();
  const int64_t n = x.shape().elements() / groups;
  const Tensor loss(context, DType::kF32, {groups});
  MseParams mse{.x = x.value().Reshape({groups, n}),
                .y = target.Reshape({groups, n}),
                .loss = loss,
                .weight = weight};
  Tensor d_x;
  if (x.requires_grad()) {
    d_x = Tensor(context, x.dtype(), x.shape());
    mse.d_x = d_x.Reshape({groups, n});
  }
  context.Run(mse);
  if (x.requires_grad()) x.AddGrad(d_x);
  return loss;
}

}  // namespace suffice
