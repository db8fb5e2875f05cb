// SPDX-License-Identifier: Apache-2.0
// What a training draws its samples from: one dataset, or several that share the samples out by
// weight. Samples are numbered through the run; which dataset, clip and label a number stands for
// is a function of (seed, number) alone.
#pragma once

#include <string>
#include <vector>

#include "lib/model/flow_trainer.h"
#include "lib/model/model_file.h"
#include "lib/policy/clips.h"

namespace suffice::distill {

struct MixConfig {
  std::string schedule = "mixed";
  std::vector<double> weights;  // one for each dataset; empty: equal
};

class TrainingData {
 public:
  // Throws kData for what is no dataset, kUsage when classes differ or weights do not fit.
  static TrainingData Read(const std::vector<std::string>& paths, const MixConfig& mix);

  // One dataset that is at hand, called `name` in messages.
  static TrainingData Of(ClipDataset dataset, const std::string& name);

  const std::vector<std::string>& classes() const { return datasets_.front().classes(); }
  const ClipDataset& first() const { return datasets_.front(); }  // held-out units come from it
  size_t sources() const;

  // Throws kUsage, naming the file, where clips of this shape do not fit: training clips of every
  // dataset, and held-out ones of the first if they are wanted.
  void RequireShape(const ClipShape& shape, bool held_out) const;
  // Throws kUsage unless the classes are, name by name, those of the model at `path`, if it has
  // any.
  void RequireClasses(const ModelInfo& model, const std::string& path) const;

  // Which dataset sample `number` comes from, in steps of `batch` samples. mixed: each sample by
  // weight. alternate: all samples of a step from one dataset; step s takes the one at van der
  // Corput's radical inverse of s on the line that the weights divide, so that in every 2^n steps
  // the shares are exact to one step.
  size_t DatasetOf(uint64_t seed, uint64_t number, int64_t batch) const;
  // Samples first, first + 1, ..., `count` of them.
  ClipBatch Batch(Context& context, const ModelInfo& info, bool flips, uint64_t seed,
                  uint64_t first, int64_t count, int64_t batch) const;

  // "0.75 of a.h5, 0.25 of b.h5, mixed"; for one file, its name.
  std::string Describe() const;

 private:
  std::vector<std::string> paths_;
  std::vector<ClipDataset> datasets_;
  std::vector<double> ends_;  // cumulative shares, the last 1
  bool alternate_ = false;
};

}  // namespace suffice::distill
