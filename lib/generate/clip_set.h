// SPDX-License-Identifier: Apache-2.0
// Clips of one shape, from a samples file or drawn from a dataset: what sets of clips are compared
// through.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "lib/io/tensor_file.h"
#include "lib/policy/clips.h"

namespace suffice::generate {

class ClipSet {
 public:
  virtual ~ClipSet() = default;
  virtual HostArray Clip(int64_t i) const = 0;  // (3, F, Y, X) fp32; kData for a NaN or infinity

  const std::string& path() const { return path_; }
  int64_t count() const { return count_; }
  const ClipShape& shape() const { return shape_; }
  const std::vector<int32_t>& labels() const { return labels_; }        // -1: none
  const std::vector<std::string>& classes() const { return classes_; }  // names of the labels
  const std::string& population() const { return population_; }         // in words
  bool labelled() const;                                                // every clip has a label

 protected:
  std::string path_;
  int64_t count_ = 0;
  ClipShape shape_;
  std::vector<int32_t> labels_;
  std::vector<std::string> classes_;
  std::string population_;
};

// The videos of a samples file (lib/generate/verbs.h, Sample), with the seed of its noise. kData
// for another kind of file, an empty or another shape, and labels that are none of its classes.
class SampledClips : public ClipSet {
 public:
  explicit SampledClips(const std::string& path);
  HostArray Clip(int64_t i) const override;
  std::optional<int64_t> seed() const { return file_.header().seed; }

 private:
  TensorReader file_;
};

// `count` draws from one split of a dataset, the first of this seed that fit. With `labels`, draw i
// is the next of the class of labels[i mod their number]: as many of each class as a samples file
// has. kUsage where the dataset has no clip of the shape, or none of a class.
struct DrawOptions {
  bool held_out = true;
  bool flips = true;
  uint64_t seed = 0;
  std::vector<int32_t> labels;
};
class DrawnClips : public ClipSet {
 public:
  DrawnClips(std::shared_ptr<const ClipDataset> data, const std::string& path,
             const std::string& digest, const ClipShape& shape, int64_t count,
             const DrawOptions& options);
  HostArray Clip(int64_t i) const override;

 private:
  std::shared_ptr<const ClipDataset> data_;
  std::vector<ClipDraw> draws_;
};

}  // namespace suffice::generate
