// SPDX-License-Identifier: Apache-2.0
#include "lib/generate/clip_set.h"

#include <algorithm>

#include "lib/base/error.h"
#include "lib/policy/samples.h"

namespace suffice::generate {
namespace {

// Draws of `compare` are others than those of training and of held-out units with the same seed.
constexpr uint64_t kCompareKey = 0x5B7D19E4C0A3F286u;

}  // namespace

bool ClipSet::labelled() const {
  return !labels_.empty() && *std::min_element(labels_.begin(), labels_.end()) >= 0;
}

SampledClips::SampledClips(const std::string& path) : file_(path, EncodingType::kSamples) {
  path_ = path;
  const Shape shape = RequireVideos(file_);
  count_ = shape[0];
  shape_ = {shape[2], shape[3], shape[4]};
  VideoLabels labels = ReadVideoLabels(file_);
  labels_ = std::move(labels.labels);
  classes_ = std::move(labels.classes);
  population_ = fmt::format("clips of {} frames of {}x{} that model {} makes of independent noise",
                            shape_.frames, shape_.width, shape_.height,
                            file_.StringAttribute("/", "model").value_or("unknown").substr(0, 16));
}

HostArray SampledClips::Clip(int64_t i) const { return ReadVideo(file_, i); }

DrawnClips::DrawnClips(std::shared_ptr<const ClipDataset> data, const std::string& path,
                       const std::string& digest, const ClipShape& shape, int64_t count,
                       const DrawOptions& options)
    : data_(std::move(data)) {
  path_ = path;
  count_ = count;
  shape_ = shape;
  classes_ = data_->classes();
  data_->RequireShape(shape, options.held_out, path);
  for (const int32_t label : options.labels) {
    const auto has = [&](const ClipSource& source) {
      return source.label == label &&
             (options.held_out ? source.held_out : source.train).size() >= shape.frames;
    };
    if (std::none_of(data_->sources().begin(), data_->sources().end(), has)) {
      throw UsageError("{}: class '{}': no {} range holds {} frames", path,
                       classes_.at(static_cast<size_t>(label)),
                       options.held_out ? "held-out" : "training", shape.frames);
    }
  }
  for (uint64_t index = 0; static_cast<int64_t>(draws_.size()) < count; ++index) {
    const ClipDraw draw =
        data_->Draw(shape, options.held_out, options.flips, options.seed ^ kCompareKey, index);
    const size_t place = draws_.size();
    if (!options.labels.empty() && draw.label != options.labels[place % options.labels.size()]) {
      continue;
    }
    draws_.push_back(draw);
    labels_.push_back(static_cast<int32_t>(draw.label));
  }
  population_ = fmt::format(
      "independent draws of (source and start frame, crop{}) from the {} part of dataset {}, clips "
      "of {} frames of {}x{}{}; draws may share frames",
      options.flips ? ", mirror" : "", options.held_out ? "held-out" : "training",
      digest.substr(0, 16), shape.frames, shape.width, shape.height,
      options.labels.empty() ? "" : ", classes in the samples' proportion");
}

HostArray DrawnClips::Clip(int64_t i) const {
  return data_->Clip(draws_.at(static_cast<size_t>(i)), shape_);
}

}  // namespace suffice::generate
