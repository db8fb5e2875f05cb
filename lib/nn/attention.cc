// SPDX-License-Identifier: Apache-2.0
#include "lib/nn/attention.h"

#include <cmath>

#include "lib/tensor/block_lists.h"

namespace suffice {
namespace {

// A matrix (B * N, H * D) of any row stride as (B, N, H, D).
Tensor Heads(const Tensor& matrix, int64_t batch, int64_t head_dim) {
  View view = matrix;
  const int64_t tokens = view.dim(0) / batch, row = view.stride(0);
  view.shape = {batch, tokens, matrix.shape()[1] / head_dim, head_dim};
  view.strides = {tokens * row, row, head_dim, 1};
  return matrix.Like(view);
}

QkSide MakeSide(Context& context, const Var& x, const Var& weight, const Tensor& out, Tensor* rrms,
                Tensor* pooled, int64_t batch, int block) {
  const Shape& shape = out.shape();
  QkSide side;
  side.in = Heads(x.value(), batch, shape[3]);
  side.out = out;
  side.block = block;
  if (!weight.empty()) {
    *rrms = Tensor(context, DType::kF32, {shape[0], shape[1], shape[2]});
    side.weight = weight.value();
    side.rrms = *rrms;
  }
  if (pooled != nullptr) {
    *pooled =
        Tensor(context, DType::kF32, {shape[0], shape[1], BlockCount(shape[2], block), shape[3]});
    side.pooled = *pooled;
  }
  return side;
}

// Gradients of q and k in the projection's memory: written there if they are the first to arrive,
// added from a tensor of their own if not.
struct SideBack {
  QkSideBackward params;
  Tensor own;
  SideBack(Context& context, const Var& x, const Var& weight, const Tensor& rrms, const Var& out,
           int64_t batch) {
    const int64_t head_dim = out.shape()[3];
    params.in = Heads(x.value(), batch, head_dim);
    if (x.requires_grad() && !x.has_grad()) {
      params.d_in = Heads(x.GradTarget().tensor, batch, head_dim);
    } else {
      own = Tensor(context, x.dtype(), x.shape());
      params.d_in = Heads(own, batch, head_dim);
    }
    if (out.has_grad()) {
      params.d_out = out.grad();
    } else {
      const Var::Target target = out.GradTarget();
      context.Run(FillParams{.out = target.tensor});
      params.d_out = target.tensor;
    }
    if (weight.empty()) return;
    params.weight = weight.value();
    params.rrms = rrms;
    if (weight.requires_grad()) params.d_weight = weight.GradAccumulator();
  }
  void Finish(const Var& x) const {
    if (!own.empty() && x.requires_grad()) x.AddGrad(own);
  }
};

ListStorage Select(Context& context, const QkHeads& heads, const AttentionSettings& settings,
                   float scale, bool with_columns) {
  const Shape& q = heads.q.shape();
  const int64_t n_k = heads.k.shape()[2];
  const int64_t t_q = heads.q_pooled.shape()[2], t_k = heads.k_pooled.shape()[2];
  const int64_t all = q[0] * q[1];
  ListStorage lists(context, all * t_q, all * t_k, all * t_q * t_k, with_columns);
  SelectParams select{.q_pooled = heads.q_pooled,
                      .k_pooled = heads.k_pooled,
                      .scale = scale,
                      .n_q = q[2],
                      .n_k = n_k,
                      .block = settings.block,
                      .mask = {settings.causal},
                      .rule = settings.rule,
                      .setting = settings.setting,
                      .pin_begin = settings.pin_begin,
                      .pin_end = settings.pin_end,
                      .window = settings.window,
                      .rows = lists.rows()};
  if (with_columns) select.columns = lists.columns();
  Tensor per_head;
  if (!settings.heads.empty()) {
    SUFFICE_CHECK(static_cast<int64_t>(settings.heads.size()) == q[1]);
    HostArray host(DType::kI32, {q[1], 2});
    auto values = host.values<int32_t>().begin();
    for (const SelectSetting& head : settings.heads) {
      *values++ = head.k_ppm;
      *values++ = head.p_ppm;
    }
    per_head = Tensor::FromHost(context, host);
    select.settings = per_head;
  }
  context.Run(select);
  return lists;
}

}  // namespace

QkHeads QkNormRope(Tape& tape, const Var& q, const Var& k, const Var& q_weight, const Var& k_weight,
                   const Rope& rope, int64_t batch, int64_t head_dim,
                   const AttentionSettings& settings) {
  Context& context = tape.context();
  const auto out_shape = [&](const Var& x) {
    return Shape{batch, x.shape()[1] / head_dim, x.shape()[0] / batch, head_dim};
  };
  QkHeads heads;
  heads.q = tape.Result(Tensor(context, q.dtype(), out_shape(q)), {q, q_weight});
  heads.k = tape.Result(Tensor(context, k.dtype(), out_shape(k)), {k, k_weight});
  Tensor q_rrms, k_rrms;
  QkNormRopePoolParams params;
  params.q = MakeSide(context, q, q_weight, heads.q.value(), &q_rrms,
                      settings.dense ? nullptr : &heads.q_pooled, batch, settings.block.q);
  params.k = MakeSide(context, k, k_weight, heads.k.value(), &k_rrms,
                      settings.dense ? nullptr : &heads.k_pooled, batch, settings.block.k);
  if (!rope.cos.empty()) {
    params.cos = rope.cos;
    params.sin = rope.sin;
  }
  context.Run(params);
  const Var q_out = heads.q, k_out = heads.k;
  if (q_out.requires_grad() || k_out.requires_grad()) {
    SUFFICE_CHECK(q_out.requires_grad() && k_out.requires_grad());
    tape.Record([=, &context] {
      if (!q_out.has_grad() && !k_out.has_grad()) return;
      const SideBack q_back(context, q, q_weight, q_rrms, q_out, batch);
      const SideBack k_back(context, k, k_weight, k_rrms, k_out, batch);
      QkNormRopeBackwardParams back{.q = q_back.params, .k = k_back.params};
      if (!rope.cos.empty()) {
        back.cos = rope.cos;
        back.sin = rope.sin;
      }
      context.Run(back);
      q_back.Finish(q);
      k_back.Finish(k);
    });
  }
  return heads;
}

Var Attention(Tape& tape, const QkHeads& heads, const Var& v, const AttentionSettings& settings,
              const AttentionObserver& observer) {
  Context& context = tape.context();
  const Var q = heads.q, k = heads.k;
  const Shape& shape = q.shape();  // (B, H, N, D)
  const int64_t batch = shape[0], head_dim = shape[3];
  const float scale = 1.0f / std::sqrt(static_cast<float>(head_dim));
  const Tensor out(context, q.dtype(), {batch * shape[2], shape[1] * head_dim});
  const Var result = tape.Result(out, {q, k, v});
  const auto by_head = [=](const Tensor& matrix) {
    return Heads(matrix, batch, head_dim).Transpose(1, 2);
  };
  const Tensor lse(context, DType::kF32, {batch, shape[1], shape[2]});
  ListStorage lists;
  if (!settings.dense) {
    lists = Select(context, heads, settings, scale, result.requires_grad());
  }
  context.Run(AttendParams{.q = q.value(),
                           .k = k.value(),
                           .v = by_head(v.value()),
                           .o = by_head(out),
                           .lse = lse,
                           .rows = lists.rows(),
                           .scale = scale,
                           .block = settings.block,
                           .mask = {settings.causal}});
  if (observer && !tape.replaying()) {
    observer({q.value(), k.value(), by_head(v.value()), by_head(out), lse, lists.row_ptr,
              lists.row_ids, settings});
  }
  tape.RecordFor(result, [=, &context](const Tensor& gradient) {
    const Tensor dq(context, q.dtype(), q.shape()), dk(context, k.dtype(), k.shape());
    // dv goes straight into the projection's gradient unless something is there already.
    Tensor own_dv, dv;
    if (v.requires_grad() && !v.has_grad()) {
      dv = v.GradTarget().tensor;
    } else {
      dv = own_dv = Tensor(context, v.dtype(), v.shape());
    }
    context.Run(AttendBackwardParams{.q = q.value(),
                                     .k = k.value(),
                                     .v = by_head(v.value()),
                                     .o = by_head(out),
                                     .lse = lse,
                                     .d_o = by_head(gradient),
                                     .dq = dq,
                                     .dk = dk,
                                     .dv = by_head(dv),
                                     .rows = lists.rows(),
                                     .columns = lists.columns(),
                                     .scale = scale,
                                     .block = settings.block,
                                     .mask = {settings.causal}});
    if (!own_dv.empty() && v.requires_grad()) v.AddGrad(own_dv);
    if (q.requires_grad()) q.AddGrad(dq);
    if (k.requires_grad()) k.AddGrad(dk);
  });
  return result;
}

}  // namespace suffice
