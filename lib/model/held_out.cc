// SPDX-License-Identifier: Apache-2.0
#include "lib/model/held_out.h"

#include <chrono>

#include "lib/base/error.h"
#include "lib/base/philox.h"

namespace suffice {
namespace {

// Training draws from `seed`; held-out draws from another key made of it.
constexpr uint64_t kHeldOutKey = 0x8E6C3D2A51F94B70u;

}  // namespace

ClipShape ClipShapeOf(const ModelInfo& model) {
  return {model.resolution[0], model.resolution[1], model.resolution[2]};
}

HeldOutUnits::HeldOutUnits(Context& context, const ClipDataset& data, const ModelInfo& model,
                           uint64_t seed)
    : context_(&context),
      data_(&data),
      shape_(ClipShapeOf(model)),
      labels_(model.architecture.classes > 0),
      seed_(seed ^ kHeldOutKey) {}

FlowUnit HeldOutUnits::operator[](uint64_t id) const {
  return AtTime(id, double{UniformAt(seed_, static_cast<uint32_t>(Stream::kTime), id)});
}

FlowUnit HeldOutUnits::AtTime(uint64_t id, double t) const {
  FlowUnit unit;
  unit.id = id;
  unit.clip = data_->Draw(shape_, true, false, seed_, id);
  unit.t = t;
  const HostArray clip = data_->Clip(unit.clip, shape_);
  const Shape shape = {1, clip.shape()[0], shape_.frames, shape_.height, shape_.width};
  unit.x0 = Tensor::FromHost(*context_, clip).Reshape(shape);
  unit.eps = FlowNoise(*context_, shape, seed_, id * static_cast<uint64_t>(shape.elements()));
  unit.x_t = MixNoise(unit.x0, unit.eps, {unit.t});
  unit.condition.t = TimesTensor(*context_, {unit.t});
  if (labels_) {
    const int32_t label[] = {static_cast<int32_t>(unit.clip.label)};
    unit.condition.labels = Tensor::FromHost(*context_, HostArray::From<int32_t>({1}, label));
  }
  return unit;
}

std::string HeldOutUnits::Population(const std::string& data_digest) const {
  return fmt::format(
      "independent draws of (source and start frame, crop, t uniform on (0, 1), noise) from the "
      "held-out part of dataset "
      "{}, clips of {} frames of {}x{}; draws may share frames",
      data_digest.substr(0, 16), shape_.frames, shape_.width, shape_.height);
}

Tensor VelocityUnder(VideoDit& model, const Tensor& x_t, const Conditioning& condition, double t,
                     const Setting& setting, BlockSize block, PairCount* pairs, double* seconds) {
  using Clock = std::chrono::steady_clock;
  struct Kept {
    int64_t sequences, n_q, n_k;
    ListStorage lists;
  };
  const VideoDitConfig& c = model.config();
  Context& context = model.context();
  ForwardOptions options;
  AttentionPlan plan;
  if (!setting.dense()) {
    plan = PlanAt(setting, block, c.depth, c.heads, t);
    options.plan = &plan;
  }
  std::vector<Kept> kept;
  if (pairs != nullptr) {
    options.observer = [&kept](int64_t, const AttentionTrace& trace) {
      const Shape &q = trace.q.shape(), &k = trace.k.shape();
      kept.push_back({q[0] * q[1], q[2], k[2], {}});
      kept.back().lists.row_ptr = trace.row_ptr;
      kept.back().lists.row_ids = trace.row_ids;
    };
  }
  if (seconds != nullptr) context.backend().synchronize(context);
  const auto start = Clock::now();
  Tensor velocity = model.Velocity(x_t, condition, options);
  if (seconds != nullptr) {
    context.backend().synchronize(context);
    *seconds = std::chrono::duration<double>(Clock::now() - start).count();
  }
  for (const Kept& layer : kept) {
    *pairs += layer.lists.row_ptr.empty()
                  ? DensePairs(layer.sequences, layer.n_q, layer.n_k, {})
                  : CountPairs(layer.lists, layer.sequences, layer.n_q, layer.n_k, block, {});
  }
  return velocity;
}

Tensor VelocityAt(VideoDit& model, const FlowUnit& unit, const Setting& setting, BlockSize block,
                  PairCount* pairs, double* seconds) {
  return VelocityUnder(model, unit.x_t, unit.condition, unit.t, setting, block, pairs, seconds);
}

SquareError CompareSquares(const Tensor& a, const Tensor& b) {
  Context& context = a.context();
  const auto squares = [&](const Tensor& x, const Tensor& y) {
    const int64_t n = x.shape().elements();
    const Tensor loss(context, DType::kF32, {1});
    MseParams params;
    params.x = x.view().reshape({1, n});
    params.y = y.view().reshape({1, n});
    params.loss = loss;
    context.Run(params);
    return double{loss.ToHost().values<float>()[0]} * static_cast<double>(n);
  };
  const Tensor zero = Tensor::Zeros(context, DType::kF32, b.shape());
  return {squares(a, b), squares(b, zero)};
}

}  // namespace suffice
