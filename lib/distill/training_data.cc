// SPDX-License-Identifier: Apache-2.0
#include "lib/distill/training_data.h"

#include <algorithm>
#include <numeric>

#include "lib/base/error.h"
#include "lib/base/philox.h"

namespace suffice::distill {
namespace {

// The bits of `n` mirrored about the binary point: 0, 1/2, 1/4, 3/4, 1/8, ...
double RadicalInverse(uint64_t n) {
  double result = 0, digit = 0.5;
  for (; n != 0; n >>= 1, digit *= 0.5) result += (n & 1) != 0 ? digit : 0;
  return result;
}

std::vector<double> Shares(const std::vector<double>& weights, size_t datasets) {
  if (!weights.empty() && weights.size() != datasets) {
    throw UsageError("train.mix.weights: {} of them, there are {} datasets", weights.size(),
                     datasets);
  }
  const std::vector<double> w = weights.empty() ? std::vector<double>(datasets, 1.0) : weights;
  const double sum = std::accumulate(w.begin(), w.end(), 0.0);
  if (!(sum > 0)) throw UsageError("train.mix.weights: all are 0");
  std::vector<double> ends;
  double end = 0;
  for (const double weight : w) ends.push_back((end += weight) / sum);
  ends.back() = 1.0;
  return ends;
}

// Footage that one dataset holds out must not be trained on in another.
void RequireHeldOut(const ClipDataset& held, const std::string& held_path, const ClipDataset& other,
                    const std::string& path) {
  for (const ClipSource& a : held.sources()) {
    for (const ClipSource& b : other.sources()) {
      if (a.sha256.empty() || a.sha256 != b.sha256 || !a.held_out.Meets(b.train)) continue;
      throw UsageError("{}: source '{}': would train on frames that {} holds out", path, b.name,
                       held_path);
    }
  }
}

}  // namespace

TrainingData TrainingData::Read(const std::vector<std::string>& paths, const MixConfig& mix) {
  TrainingData data;
  data.paths_ = paths;
  data.ends_ = Shares(mix.weights, paths.size());
  data.alternate_ = mix.schedule == "alternate";
  for (const std::string& path : paths) {
    data.datasets_.push_back(ClipDataset::Read(path));
    if (data.datasets_.back().classes() != data.classes())
      throw UsageError("{}: its classes are not those of {}", path, paths.front());
    RequireHeldOut(data.first(), paths.front(), data.datasets_.back(), path);
  }
  return data;
}

TrainingData TrainingData::Of(ClipDataset dataset, const std::string& name) {
  TrainingData data;
  data.paths_ = {name};
  data.ends_ = {1.0};
  data.datasets_.push_back(std::move(dataset));
  return data;
}

size_t TrainingData::sources() const {
  size_t count = 0;
  for (const ClipDataset& dataset : datasets_) count += dataset.sources().size();
  return count;
}

void TrainingData::RequireShape(const ClipShape& shape, bool held_out) const {
  for (size_t i = 0; i < datasets_.size(); ++i) datasets_[i].RequireShape(shape, false, paths_[i]);
  if (held_out) datasets_.front().RequireShape(shape, true, paths_.front());
}

void TrainingData::RequireClasses(const ModelInfo& model, const std::string& path) const {
  if (model.architecture.classes > 0 && model.classes != classes())
    throw UsageError("{}: its classes are not those of {}", paths_.front(), path);
}

size_t TrainingData::DatasetOf(uint64_t seed, uint64_t number, int64_t batch) const {
  if (datasets_.size() == 1) return 0;
  const double u = alternate_
                       ? RadicalInverse(number / static_cast<uint64_t>(batch))
                       : double{UniformAt(seed, static_cast<uint32_t>(Stream::kMixture), number)};
  const auto at = std::upper_bound(ends_.begin(), ends_.end() - 1, u);
  return static_cast<size_t>(at - ends_.begin());
}

ClipBatch TrainingData::Batch(Context& context, const ModelInfo& info, bool flips, uint64_t seed,
                              uint64_t first, int64_t count, int64_t batch) const {
  const Shape shape = info.ClipShape(count);
  const ClipShape clip_shape{shape[2], shape[3], shape[4]};
  HostArray clips(DType::kF32, shape);
  ClipBatch result;
  float* out = clips.values<float>().data();
  for (int64_t b = 0; b < count; ++b) {
    const uint64_t number = first + static_cast<uint64_t>(b);
    const ClipDataset& data = datasets_[DatasetOf(seed, number, batch)];
    const ClipDraw draw = data.Draw(clip_shape, false, flips, seed, number);
    const HostArray clip = data.Clip(draw, clip_shape);
    out = std::copy(clip.values<float>().begin(), clip.values<float>().end(), out);
    if (info.architecture.classes > 0) result.labels.push_back(static_cast<int32_t>(draw.label));
  }
  result.clips = Tensor::FromHost(context, clips);
  return result;
}

std::string TrainingData::Describe() const {
  if (paths_.size() == 1) return paths_.front();
  std::string text;
  double begin = 0;
  for (size_t i = 0; i < paths_.size(); begin = ends_[i++])
    text += fmt::format("{:.4g} of {}, ", ends_[i] - begin, paths_[i]);
  return text + (alternate_ ? "alternating by step" : "mixed");
}

}  // namespace suffice::distill
