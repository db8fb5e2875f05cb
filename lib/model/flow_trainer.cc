// SPDX-License-Identifier: Apache-2.0
#include "lib/model/flow_trainer.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "lib/base/philox.h"

namespace suffice {
namespace {

constexpr size_t kMostPasses = 8;  // forms of a problem: plans at several times, a last micro-batch

}  // namespace

FlowTrainer::FlowTrainer(VideoDit& model, const FlowTrainingConfig& config, uint64_t seed,
                         Teacher* teacher, const Setting* setting, BlockSize block)
    : model_(&model),
      teacher_(teacher),
      config_(config),
      seed_(seed),
      block_(block),
      optimizer_(model.parameters(), config.optimizer),
      loss_sum_(model.context(), DType::kF32, {1, 1}),
      clear_(model.context()) {
  if (setting != nullptr && !setting->dense()) setting_ = *setting;
}

FlowTrainer::Pass::Pass(Context& context, const Problem& like, float loss_weight)
    : problem(like), weight(loss_weight), replay(context) {
  for (Tensor* tensor : Inputs(problem)) {
    if (!tensor->empty()) *tensor = Tensor(context, tensor->dtype(), tensor->shape());
  }
}

std::array<Tensor*, 5> FlowTrainer::Pass::Inputs(Problem& p) {
  return {&p.tokens, &p.conditioning.t, &p.conditioning.labels, &p.conditioning.context, &p.target};
}

bool FlowTrainer::Pass::Fits(const Problem& p, float loss_weight) const {
  // What fixes the other inputs' sizes: tokens, samples and the model itself.
  return problem.tokens.shape() == p.tokens.shape() && problem.geometry == p.geometry &&
         problem.conditioning.context.view().shape == p.conditioning.context.view().shape &&
         problem.plan == p.plan && weight == loss_weight;
}

void FlowTrainer::Pass::Load(Problem p) {
  const auto from = Inputs(p), to = Inputs(problem);
  for (size_t i = 0; i < to.size(); ++i) {
    if (!to[i]->empty()) to[i]->CopyFrom(*from[i]);
  }
}

ClipBatch ClipBatch::Sample(int64_t b) const {
  ClipBatch one{clips.Slice(0, b, b + 1), {}, Tensor()};
  if (!labels.empty()) one.labels = {labels[static_cast<size_t>(b)]};
  if (!context.empty()) one.context = context.Slice(0, b, b + 1);
  return one;
}

Tensor FlowTrainer::Labels(const ClipBatch& batch, uint64_t first_sample) const {
  const int64_t classes = model_->config().classes;
  if (classes == 0) return Tensor();
  std::vector<int32_t> labels = batch.labels;
  SUFFICE_CHECK(static_cast<int64_t>(labels.size()) == batch.clips.shape()[0]);
  for (size_t b = 0; b < labels.size(); ++b) {
    const float u = UniformAt(seed_, static_cast<uint32_t>(Stream::kDropout), first_sample + b);
    if (double{u} < config_.label_dropout) labels[b] = static_cast<int32_t>(classes);
  }
  const HostArray host = HostArray::From<int32_t>({static_cast<int64_t>(labels.size())}, labels);
  return Tensor::FromHost(model_->context(), host);
}

std::vector<double> FlowTrainer::Times(uint64_t first_sample, int64_t count) const {
  std::vector<double> t;
  for (int64_t b = 0; b < count; ++b) {
    t.push_back(SampleTime(config_.time, seed_, first_sample + static_cast<uint64_t>(b)));
  }
  return t;
}

// Samples that attend by one plan run together; a setting that changes with t may split them.
void FlowTrainer::Accumulate(const ClipBatch& batch, uint64_t first_sample, int64_t step_samples,
                             const Tensor& loss_sum) {
  const int64_t count = batch.clips.shape()[0];
  const std::vector<double> t = Times(first_sample, count);
  const VideoDitConfig& c = model_->config();
  if (!setting_ || SamePlan(*setting_, c.depth, c.heads, t)) {
    return AccumulateAlike(batch, t, first_sample, step_samples, loss_sum);
  }
  for (int64_t b = 0; b < count; ++b) {
    const auto i = static_cast<size_t>(b);
    AccumulateAlike(batch.Sample(b), {t[i]}, first_sample + i, step_samples, loss_sum);
  }
}

FlowTrainer::Problem FlowTrainer::Pose(const ClipBatch& batch, const std::vector<double>& t,
                                       uint64_t first_sample) const {
  Context& context = model_->context();
  const Tensor& x0 = batch.clips;
  const int64_t count = x0.shape()[0];
  const auto elements = static_cast<uint64_t>(x0.shape().elements() / count);
  const Tensor eps = FlowNoise(context, x0.shape(), seed_, first_sample * elements);
  Problem p{model_->ToTokens(MixNoise(x0, eps, t), model_->compute_dtype()),
            &model_->GeometryOf(x0.shape()),
            {TimesTensor(context, t), Labels(batch, first_sample), batch.context},
            Tensor(),
            {}};
  if (teacher_ == nullptr) p.target = model_->ToTokens(FlowVelocity(x0, eps), DType::kF32);
  const VideoDitConfig& c = model_->config();
  if (setting_) p.plan = PlanAt(*setting_, block_, c.depth, c.heads, t[0]);
  return p;
}

void FlowTrainer::AccumulateAlike(const ClipBatch& batch, const std::vector<double>& t,
                                  uint64_t first_sample, int64_t step_samples,
                                  const Tensor& loss_sum) {
  Context& context = model_->context();
  const int64_t count = batch.clips.shape()[0];
  const auto weight =
      static_cast<float>(static_cast<double>(count) / static_cast<double>(step_samples));
  Problem p = Pose(batch, t, first_sample);
  if (teacher_ != nullptr && !teacher_->replayable()) p.target = Target(p, first_sample);
  if (!Replayable(p.plan)) return Differentiate(p, first_sample, weight, loss_sum);
  auto known = std::find_if(passes_.begin(), passes_.end(),
                            [&](const auto& pass) { return pass->Fits(p, weight); });
  if (known == passes_.end()) {
    if (passes_.size() == kMostPasses) passes_.erase(passes_.begin());  // the oldest makes room
    known = passes_.insert(passes_.end(), std::make_unique<Pass>(context, p, weight));
  }
  Pass& pass = **known;
  pass.Load(p);
  pass.replay.Run([&] { Differentiate(pass.problem, first_sample, weight, loss_sum); });
}

Tensor FlowTrainer::Target(const Problem& p, uint64_t first_sample) const {
  if (!p.target.empty()) return p.target;
  return teacher_->Velocity(first_sample, p.tokens, *p.geometry, p.conditioning);
}

void FlowTrainer::Differentiate(const Problem& p, uint64_t first_sample, float weight,
                                const Tensor& loss_sum) {
  Context& context = model_->context();
  const int64_t count = p.conditioning.t.shape()[0];
  const Tensor target = Target(p, first_sample);
  Tape tape(context, Tape::Mode::kRecord);
  const Var velocity = model_->Forward(tape, p.tokens, *p.geometry, p.conditioning,
                                       {.plan = &p.plan, .checkpoint = config_.checkpoint});
  const Tensor loss = MseLoss(tape, velocity, target, count, weight);
  context.Run(SumRowsParams{.x = loss.Reshape({count, 1}), .out = loss_sum});
  tape.Backward();
}

std::optional<StepReport> FlowTrainer::Step(const std::vector<ClipBatch>& micro_batches) {
  // What the step before left is read first: only its own work is waited for.
  const std::optional<StepReport> before = Read();
  Context& context = model_->context();
  int64_t samples = 0;
  for (const ClipBatch& batch : micro_batches) samples += batch.clips.shape()[0];
  SUFFICE_CHECK(samples > 0);
  clear_.Run([&] {
    context.Run(FillParams{.out = loss_sum_});
    model_->parameters().ZeroGradients();
  });
  const uint64_t first_sample = samples_;
  for (const ClipBatch& batch : micro_batches) {
    Accumulate(batch, samples_, samples, loss_sum_);
    samples_ += static_cast<uint64_t>(batch.clips.shape()[0]);
  }
  optimizer_.Step();
  pending_ = Pending{optimizer_.steps(), samples, optimizer_.LrAt(optimizer_.steps()), first_sample,
                     micro_batches};
  return before;
}

std::optional<StepReport> FlowTrainer::Read() {
  if (!pending_) return std::nullopt;
  const double loss_sum = double{loss_sum_.ToHost().values<float>()[0]};
  const double square_sum = double{optimizer_.gradient_square_sum().ToHost().values<float>()[0]};
  const StepReport report{pending_->step, loss_sum / static_cast<double>(pending_->samples),
                          std::sqrt(square_sum), pending_->lr};
  if (!std::isfinite(report.loss) || !std::isfinite(report.gradient_norm)) {
    throw RunError("step {}: loss {}, gradient norm {}: {}", report.step, report.loss,
                   report.gradient_norm, Diagnose());
  }
  pending_.reset();
  return report;
}

std::optional<StepReport> FlowTrainer::Finish() { return Read(); }

std::vector<NamedArray> FlowTrainer::Export() const {
  std::vector<NamedArray> arrays;
  for (const NamedArray& named : masters_.empty() ? model_->parameters().Export() : masters_) {
    arrays.push_back({"master/" + named.name, named.array});
  }
  for (NamedArray& named : optimizer_.Export()) {
    arrays.push_back({"optimizer/" + named.name, std::move(named.array)});
  }
  const int64_t samples[] = {static_cast<int64_t>(samples_)};
  arrays.push_back({"samples", HostArray::From<int64_t>({1}, samples)});
  return arrays;
}

std::vector<NamedArray> FlowTrainer::UseTrained() {
  std::vector<NamedArray> weights = model_->parameters().Export();
  if (optimizer_.has_ema()) masters_ = std::exchange(weights, optimizer_.ExportEma());
  model_->parameters().Import(weights, "weights");
  return weights;
}

void FlowTrainer::Import(const std::vector<NamedArray>& arrays, const std::string& source) {
  std::vector<NamedArray> masters, moments;
  std::optional<int64_t> samples;
  for (const NamedArray& named : arrays) {
    if (named.name.starts_with("master/")) {
      masters.push_back({named.name.substr(7), named.array});
    } else if (named.name.starts_with("optimizer/")) {
      moments.push_back({named.name.substr(10), named.array});
    } else if (named.name == "samples" && named.array.dtype() == DType::kI64 &&
               named.array.shape().elements() == 1 && named.array.values<int64_t>()[0] >= 0) {
      samples = named.array.values<int64_t>()[0];
    } else {
      throw DataError("{}: {}: not part of a training state", source, named.name);
    }
  }
  if (!samples) throw DataError("{}: samples: missing", source);
  model_->parameters().Import(masters, source);
  optimizer_.Import(moments, source);
  samples_ = static_cast<uint64_t>(*samples);
  pending_.reset();
}

}  // namespace suffice
