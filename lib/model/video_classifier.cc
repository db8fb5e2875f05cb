// SPDX-License-Identifier: Apache-2.0
#include "lib/model/video_classifier.h"

#include <algorithm>

namespace suffice {
namespace {

// Means over the tokens of each sample of (B * tokens, columns).
std::vector<std::vector<double>> TokenMeans(const Tensor& values, int64_t batch) {
  const HostArray host = values.ToHost().Cast(DType::kF32);
  const auto columns = static_cast<size_t>(host.shape()[1]);
  const auto tokens = static_cast<size_t>(host.shape()[0] / batch);
  std::vector<std::vector<double>> means(static_cast<size_t>(batch), std::vector<double>(columns));
  const float* x = host.values<float>().data();
  for (std::vector<double>& mean : means) {
    for (size_t i = 0; i < tokens; ++i) {
      for (double& sum : mean) sum += double{*x++};
    }
    for (double& sum : mean) sum /= static_cast<double>(tokens);
  }
  return means;
}

}  // namespace

double ClassifierInfo::accuracy() const {
  return draws > 0 ? static_cast<double>(correct) / static_cast<double>(draws) : 0;
}

Interval ClassifierInfo::accuracy_interval() const { return ClopperPearson(draws, correct); }

int64_t ClipJudgement::Label() const {
  return std::max_element(scores.begin(), scores.end()) - scores.begin();
}

VideoClassifier::VideoClassifier(Context& context, const ClassifierInfo& info, DType compute)
    : classes_(static_cast<int64_t>(info.classes.size())),
      trunk_(context, info.architecture, compute, classes_) {
  SUFFICE_CHECK(classes_ > 0 && info.architecture.classes == 0);
}

VideoClassifier::TokenValues VideoClassifier::Forward(Tape& tape, const Tensor& clips,
                                                      const ForwardOptions& options) {
  const std::vector<double> times(static_cast<size_t>(clips.shape()[0]), 0.0);
  const Conditioning unconditional{TimesTensor(trunk_.context(), times), {}, {}};
  const Var features = trunk_.Hidden(tape, trunk_.ToTokens(clips, trunk_.compute_dtype()),
                                     trunk_.GeometryOf(clips.shape()), unconditional, options);
  const Var scores = trunk_.Output(tape, features);
  if (options.inspector) options.inspector("final", scores.value());
  return {features, scores};
}

std::vector<ClipJudgement> VideoClassifier::Judge(const Tensor& clips) {
  const int64_t batch = clips.shape()[0];
  Tape tape(trunk_.context(), Tape::Mode::kInfer);
  const TokenValues values = Forward(tape, clips);
  std::vector<std::vector<double>> features = TokenMeans(values.features.value(), batch),
                                   scores = TokenMeans(values.scores.value(), batch);
  std::vector<ClipJudgement> judgements;
  for (size_t b = 0; b < features.size(); ++b) {
    judgements.push_back({std::move(features[b]), std::move(scores[b])});
  }
  return judgements;
}

void ClassTrainer::Rerun(const ClipBatch& sample, uint64_t, const ForwardOptions& options) const {
  Tape tape(model().context(), Tape::Mode::kInfer);
  classifier_->Forward(tape, sample.clips, options);
}

void ClassTrainer::Accumulate(const ClipBatch& batch, uint64_t, int64_t step_samples,
                              const Tensor& loss_sum) {
  Context& context = model().context();
  const int64_t count = batch.clips.shape()[0];
  SUFFICE_CHECK(static_cast<int64_t>(batch.labels.size()) == count);
  const auto classes = static_cast<size_t>(classifier_->class_count());
  const auto tokens = static_cast<size_t>(model().GeometryOf(batch.clips.shape()).tokens);
  HostArray one_hot(DType::kF32,
                    {count * static_cast<int64_t>(tokens), static_cast<int64_t>(classes)});
  const auto rows = one_hot.values<float>();
  for (size_t row = 0; row < static_cast<size_t>(count) * tokens; ++row) {
    rows[row * classes + static_cast<size_t>(batch.labels[row / tokens])] = 1.0f;
  }
  Tape tape(context, Tape::Mode::kRecord);
  const Var scores = classifier_->Forward(tape, batch.clips).scores;
  const auto weight =
      static_cast<float>(static_cast<double>(count) / static_cast<double>(step_samples));
  const Tensor loss = MseLoss(tape, scores, Tensor::FromHost(context, one_hot), count, weight);
  context.Run(SumRowsParams{.x = loss.Reshape({count, 1}), .out = loss_sum});
  tape.Backward();
}

}  // namespace suffice
