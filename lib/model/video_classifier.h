// SPDX-License-Identifier: Apache-2.0
// A classifier of clips, in whose features sets of clips are compared: the blocks of a video
// diffusion transformer without labels at t = 0, where clips have no noise, and a last layer of one
// number a class. Every token predicts the one-hot vector of its clip's class by least squares; a
// clip's scores and features are means over its tokens, summed on the host in double.
#pragma once

#include <string>
#include <vector>

#include "lib/model/flow_trainer.h"
#include "lib/stats/inference.h"

namespace suffice {

struct ClassifierInfo {
  VideoDitConfig architecture;      // classes 0: of the blocks
  std::vector<int64_t> resolution;  // frames, height, width
  std::vector<std::string> classes;
  // What it was measured on: `correct` of `draws` held-out clips of a population in words.
  int64_t draws = 0, correct = 0;
  std::string population;

  double accuracy() const;             // 0 without draws
  Interval accuracy_interval() const;  // exact, 95 %
};

// What is made of one clip.
struct ClipJudgement {
  std::vector<double> features;  // (width): mean over tokens of what the last layer reads
  std::vector<double> scores;    // one a class

  int64_t Label() const;  // of the greatest score, the first of equal ones
};

class VideoClassifier {
 public:
  // Allocates the parameters (contents undefined until Initialize or Import).
  VideoClassifier(Context& context, const ClassifierInfo& info, DType compute);

  VideoDit& trunk() { return trunk_; }
  int64_t feature_count() const { return trunk_.config().width; }
  int64_t class_count() const { return classes_; }

  // Of clips (B, C, F, Y, X) fp32: (B * tokens, width) and (B * tokens, classes) fp32.
  struct TokenValues {
    Var features, scores;
  };
  TokenValues Forward(Tape& tape, const Tensor& clips, const ForwardOptions& options = {});

  std::vector<ClipJudgement> Judge(const Tensor& clips);

 private:
  int64_t classes_;
  VideoDit trunk_;
};

// Trains by the mean over tokens and classes of (score - [class])^2. Batches have labels.
class ClassTrainer : public FlowTrainer {
 public:
  ClassTrainer(VideoClassifier& classifier, const FlowTrainingConfig& config, uint64_t seed)
      : FlowTrainer(classifier.trunk(), config, seed), classifier_(&classifier) {}

 protected:
  void Accumulate(const ClipBatch& batch, uint64_t first_sample, int64_t step_samples,
                  const Tensor& loss_sum) override;
  void Rerun(const ClipBatch& sample, uint64_t number,
             const ForwardOptions& options) const override;

 private:
  VideoClassifier* classifier_;
};

}  // namespace suffice
