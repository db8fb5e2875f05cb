// SPDX-License-Identifier: Apache-2.0
// Datasets made of what a model sampled.
#include <algorithm>
#include <cmath>

#include "lib/base/error.h"
#include "lib/policy/clips.h"

namespace suffice {
namespace {

// (3, F, Y, X) in about [-1, 1] to (F, Y, X, 3) bytes: the inverse of ClipDataset::Clip, rounded.
HostArray ToFrames(const HostArray& video, const Shape& shape) {
  HostArray frames(DType::kU8, {shape[2], shape[3], shape[4], 3});
  const auto plane = static_cast<size_t>(shape[2] * shape[3] * shape[4]);
  const auto from = video.values<float>();
  const auto to = frames.values<uint8_t>();
  for (size_t c = 0; c < 3; ++c) {
    for (size_t i = 0; i < plane; ++i) {
      const float x = std::clamp((from[c * plane + i] + 1.0f) * 127.5f, 0.0f, 255.0f);
      to[3 * i + c] = static_cast<uint8_t>(std::lround(x));
    }
  }
  return frames;
}

}  // namespace

ClipDataset ClipDataset::ReadSamples(const TensorReader& reader) {
  const std::string& path = reader.path();
  const DatasetInfo& info = reader.Info("/video");
  const Shape& shape = info.shape;
  if (info.is_strings || (info.dtype != DType::kF32 && info.dtype != DType::kBF16) ||
      shape.rank != 5 || shape[1] != 3 || shape.elements() == 0) {
    throw DataError("{}: /video: {} {}, f32 or bf16 (B, 3, F, Y, X) wanted", path, info.type,
                    ToString(shape));
  }
  reader.Require("/labels", DType::kI32, {shape[0]}, "a samples file");
  const HostArray labels = reader.Read("/labels");
  std::vector<std::string> classes;
  if (reader.Has("/classes")) classes = reader.ReadStrings("/classes");
  std::vector<ClipSource> sources;
  for (int64_t i = 0; i < shape[0]; ++i) {
    ClipSource source;
    source.name = fmt::format("sample {}", i);
    source.label = labels.values<int32_t>()[static_cast<size_t>(i)];
    if (source.label < 0 || source.label >= std::ssize(classes)) {
      throw DataError("{}: video {}: label {}, of {} classes: only labelled samples can be learned",
                      path, i, source.label, classes.size());
    }
    source.train = {0, shape[2]};
    source.held_out = {shape[2], shape[2]};
    source.fps = reader.FloatAttribute("/", "fps").value_or(0);
    const HostArray rows = reader.ReadRows("/video", i, i + 1);
    RequireFinite(rows, path, "/video");
    source.frames = ToFrames(rows.Cast(DType::kF32), shape);
    sources.push_back(std::move(source));
  }
  return {std::move(classes), std::move(sources), shape[2]};
}

}  // namespace suffice
