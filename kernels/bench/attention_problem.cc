// SPDX-License-Identifier: Apache-2.0
#include "kernels/bench/attention_problem.h"

#include <algorithm>
#include <cmath>

namespace suffice::bench {

SelectSetting SettingOf(SelectRule rule, double density) {
  const auto k = static_cast<int32_t>(std::lround(density * 1e6));
  return {k, rule == SelectRule::kHybrid ? k / 5 * 4 : 0};
}

AttentionProblem::AttentionProblem(Context& context, DType dtype, const ProblemShape& shape,
                                   SelectRule rule)
    : context_(context),
      dtype_(dtype),
      shape_(shape),
      rule_(rule),
      scale_(1.0f / std::sqrt(static_cast<float>(shape.dim))),
      t_q_(BlockCount(shape.n, shape.block.q)),
      t_k_(BlockCount(shape.n, shape.block.k)),
      keeps_all_(shape.density >= 1.0) {
  const Shape values = {shape.batch, shape.heads, shape.n, shape.dim};
  q_ = NormalArray(context, dtype, values, 0);
  k_ = NormalArray(context, dtype, values, 1);
  v_ = NormalArray(context, dtype, values, 2);
  d_o_ = NormalArray(context, dtype, values, 3);
  for (DeviceArray* array : {&o_, &dq_, &dk_, &dv_}) *array = DeviceArray(context, dtype, values);
  lse_ = DeviceArray(context, DType::kF32, {shape.batch, shape.heads, shape.n});
  q_pooled_ = DeviceArray(context, DType::kF32, {shape.batch, shape.heads, t_q_, shape.dim});
  k_pooled_ = DeviceArray(context, DType::kF32, {shape.batch, shape.heads, t_k_, shape.dim});
  const int64_t heads = shape.batch * shape.heads;
  selected_ = Capacity(heads * t_q_, heads * t_q_ * t_k_);
  selected_columns_ = Capacity(heads * t_k_, heads * t_q_ * t_k_);
  if (keeps_all_) return;
  host_rows_ =
      shape.given ? *shape.given : RandomLists(shape.spread, shape.density, heads * t_q_, t_k_);
  host_columns_ = Transpose(host_rows_, heads, t_q_, t_k_);
  rows_ = ToDevice(host_rows_);
  columns_ = ToDevice(host_columns_);
  density_ = DensityOf(host_rows_);
}

AttentionProblem::Lists AttentionProblem::Capacity(int64_t rows, int64_t ids) const {
  return {DeviceArray(context_, DType::kI64, {rows + 1}),
          DeviceArray(context_, DType::kU16, {ids})};
}

AttentionProblem::Lists AttentionProblem::ToDevice(const HostLists& lists) const {
  Lists made = Capacity(lists.rows(), lists.ptr.back());
  made.ptr.Set(lists.ptr.data());
  made.ids.Set(lists.ids.data());
  return made;
}

HostLists AttentionProblem::ToHost(const Lists& lists) {
  HostLists made;
  made.ptr = lists.ptr.Values<int64_t>();
  made.ids = lists.ids.Values<uint16_t>();
  const int64_t count = made.ptr.back();
  if (!std::is_sorted(made.ptr.begin(), made.ptr.end()) || made.ptr.front() != 0 ||
      count > static_cast<int64_t>(made.ids.size())) {
    throw CheckFailedError("lists: offsets do not ascend from 0 within {} ids", made.ids.size());
  }
  made.ids.resize(static_cast<size_t>(count));
  return made;
}

double AttentionProblem::DensityOf(const HostLists& rows) const {
  const auto n = static_cast<double>(shape_.n);
  return ListedPairs(rows, shape_.n, shape_.block) /
         (static_cast<double>(shape_.batch * shape_.heads) * n * n);
}

double AttentionProblem::FlopsAt(double density) const {
  const auto n = static_cast<double>(shape_.n);
  return 4.0 * static_cast<double>(shape_.dim * shape_.batch * shape_.heads) * n * n * density;
}

double AttentionProblem::BytesOfQAndK() const {
  return static_cast<double>(q_.view().bytes() + k_.view().bytes());
}

AttendParams AttentionProblem::Forward() const {
  AttendParams p;
  p.q = q_.view();
  p.k = k_.view();
  p.v = v_.view();
  p.o = o_.view();
  p.lse = lse_.view();
  if (!keeps_all_) p.rows = rows_.view();
  p.scale = scale_;
  p.block = shape_.block;
  return p;
}

AttendParams AttentionProblem::ForwardOfSelected() const {
  AttendParams p = Forward();
  p.rows = selected_.view();
  return p;
}

AttendBackwardParams AttentionProblem::Backward() const {
  AttendBackwardParams p;
  p.q = q_.view();
  p.k = k_.view();
  p.v = v_.view();
  p.o = o_.view();
  p.lse = lse_.view();
  p.d_o = d_o_.view();
  p.dq = dq_.view();
  p.dk = dk_.view();
  p.dv = dv_.view();
  if (!keeps_all_) {
    p.rows = rows_.view();
    p.columns = columns_.view();
  }
  p.scale = scale_;
  p.block = shape_.block;
  return p;
}

PoolParams AttentionProblem::PoolQ() const { return {q_.view(), q_pooled_.view(), shape_.block.q}; }
PoolParams AttentionProblem::PoolK() const { return {k_.view(), k_pooled_.view(), shape_.block.k}; }

SelectParams AttentionProblem::Select(bool columns) const {
  SelectParams p;
  p.q_pooled = q_pooled_.view();
  p.k_pooled = k_pooled_.view();
  p.scale = scale_;
  p.n_q = shape_.n;
  p.n_k = shape_.n;
  p.block = shape_.block;
  p.rule = rule_;
  p.setting = SettingOf(rule_, shape_.density);
  p.rows = selected_.view();
  if (columns) p.columns = selected_columns_.view();
  return p;
}

// Angles of one axis of positions: what they are does not change the time.
void AttentionProblem::MakeRotation() const {
  const int64_t pairs = shape_.dim / 2;
  std::vector<float> cos(static_cast<size_t>(shape_.n * pairs)), sin(cos.size());
  context_.pool().ParallelFor(shape_.n, 256, [&](int64_t t, int) {
    for (int64_t i = 0; i < pairs; ++i) {
      const double angle = static_cast<double>(t) *
                           std::pow(1e4, -static_cast<double>(i) / static_cast<double>(pairs));
      cos[static_cast<size_t>(t * pairs + i)] = static_cast<float>(std::cos(angle));
      sin[static_cast<size_t>(t * pairs + i)] = static_cast<float>(std::sin(angle));
    }
  });
  const Shape rrms = {shape_.batch, shape_.heads, shape_.n};
  rotation_ = {NormalArray(context_, DType::kF32, {shape_.dim}, kTableStream - kStream),
               DeviceArray(context_, DType::kF32, {shape_.n, pairs}),
               DeviceArray(context_, DType::kF32, {shape_.n, pairs}),
               DeviceArray(context_, DType::kF32, rrms), DeviceArray(context_, DType::kF32, rrms)};
  rotation_.cos.Set(cos.data());
  rotation_.sin.Set(sin.data());
}

QkNormRopePoolParams AttentionProblem::FusedPool(bool pooled) const {
  if (rotation_.cos.view().empty()) MakeRotation();
  const Shape projected = {shape_.batch, shape_.n, shape_.heads, shape_.dim};
  const View weight = rotation_.weight.view();
  QkNormRopePoolParams p;
  p.q = {
      v_.view().reshape(projected), weight,        dq_.view(), pooled ? q_pooled_.view() : View{},
      rotation_.rrms_q.view(),      shape_.block.q};
  p.k = {
      d_o_.view().reshape(projected), weight,        dk_.view(), pooled ? k_pooled_.view() : View{},
      rotation_.rrms_k.view(),        shape_.block.k};
  p.cos = rotation_.cos.view();
  p.sin = rotation_.sin.view();
  return p;
}

}  // namespace suffice::bench
