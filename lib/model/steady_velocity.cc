// SPDX-License-Identifier: Apache-2.0
#include "lib/model/steady_velocity.h"

#include <algorithm>

#include "lib/model/rectified_flow.h"

namespace suffice {
namespace {

Tensor ZeroCount(Context& context) {
  return Tensor::FromHost(context, HostArray(DType::kI64, {1}));
}

}  // namespace

SteadyVelocity::SteadyVelocity(VideoDit& model, const Setting& setting, BlockSize block,
                               const Shape& video)
    : model_(&model),
      setting_(setting),
      block_(block),
      x_(model.context(), DType::kF32, video),
      t_(model.context(), DType::kF32, {video[0]}),
      velocity_(model.context(), DType::kF32, video),
      kept_(ZeroCount(model.context())) {}

void SteadyVelocity::SetLabels(const std::vector<int32_t>& labels) {
  const HostArray host = HostArray::From<int32_t>({x_.shape()[0]}, labels);
  if (labels_.empty()) labels_ = Tensor(model_->context(), DType::kI32, host.shape());
  labels_.CopyFromHost(host);
}

SteadyVelocity::Form& SteadyVelocity::FormAt(double t) {
  const VideoDitConfig& c = model_->config();
  AttentionPlan plan;
  if (!setting_.dense()) plan = PlanAt(setting_, block_, c.depth, c.heads, t);
  const auto known = std::find_if(forms_.begin(), forms_.end(),
                                  [&](const auto& form) { return form->plan == plan; });
  if (known != forms_.end()) return **known;
  forms_.push_back(std::make_unique<Form>(model_->context(), plan));
  return *forms_.back();
}

void SteadyVelocity::Pass(const AttentionPlan& plan) {
  Context& context = model_->context();
  ForwardOptions options;
  if (!plan.layers.empty()) options.plan = &plan;
  options.observer = [&](int64_t, const AttentionTrace& trace) {
    if (trace.row_ptr.empty()) return;
    context.Run(CountPairsParams{.rows = {trace.row_ptr, trace.row_ids},
                                 .total = kept_,
                                 .accumulate = true,
                                 .n_q = trace.q.shape()[2],
                                 .n_k = trace.k.shape()[2],
                                 .block = block_,
                                 .mask = {trace.settings.causal}});
  };
  velocity_.CopyFrom(model_->Velocity(x_, {t_, labels_, {}}, options));
}

Tensor SteadyVelocity::operator()(const Tensor& x, double t) {
  Context& context = model_->context();
  const VideoDitConfig& c = model_->config();
  const int64_t batch = x_.shape()[0], tokens = model_->GeometryOf(x_.shape()).tokens;
  Form& form = FormAt(t);
  x_.CopyFrom(x);
  t_.CopyFromHost(TimesOnHost(std::vector<double>(static_cast<size_t>(batch), t)));
  if (Replayable(form.plan)) {
    form.replay.Run([&] { Pass(form.plan); });
  } else {
    Pass(form.plan);
  }
  const PairCount layer = DensePairs(batch * c.heads, tokens, tokens, {});
  for (int64_t i = 0; i < c.depth; ++i) {
    const bool dense = form.plan.layers.empty() || form.plan.layers[static_cast<size_t>(i)].dense;
    dense_ += {dense ? layer.kept : 0, layer.allowed};
  }
  Tensor result(context, DType::kF32, velocity_.shape());
  result.CopyFrom(velocity_);
  return result;
}

PairCount SteadyVelocity::TakePairs() {
  PairCount pairs = dense_;
  pairs.kept += kept_.ToHost().values<int64_t>()[0];
  dense_ = {};
  kept_.CopyFromHost(HostArray(DType::kI64, {1}));
  return pairs;
}

}  // namespace suffice
