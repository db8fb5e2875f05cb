// SPDX-License-Identifier: Apache-2.0
#include "lib/policy/samples.h"

#include <algorithm>
#include <cmath>

#include "lib/base/error.h"

namespace suffice {
namespace {

constexpr char kVideo[] = "/video";

}  // namespace

Shape RequireVideos(const TensorReader& file) {
  const DatasetInfo& info = file.Info(kVideo);
  if (info.is_strings || (info.dtype != DType::kF32 && info.dtype != DType::kBF16) ||
      info.shape.rank != 5 || info.shape[1] != 3) {
    throw DataError("{}: {}: {} {}, f32 or bf16 (B, 3, F, Y, X) wanted", file.path(), kVideo,
                    info.type, ToString(info.shape));
  }
  if (info.shape.elements() == 0) throw DataError("{}: {}: no videos", file.path(), kVideo);
  return info.shape;
}

HostArray ReadVideo(const TensorReader& file, int64_t i) {
  const HostArray rows = file.ReadRows(kVideo, i, i + 1);
  RequireFinite(rows, file.path(), kVideo);
  const HostArray values = rows.Cast(DType::kF32);
  const Shape& s = values.shape();
  return HostArray::From<float>({s[1], s[2], s[3], s[4]}, values.values<float>());
}

VideoLabels ReadVideoLabels(const TensorReader& file) {
  VideoLabels result;
  file.Require("/labels", DType::kI32, {file.Info(kVideo).shape[0]}, kVideo);
  const HostArray labels = file.Read("/labels");
  result.labels.assign(labels.values<int32_t>().begin(), labels.values<int32_t>().end());
  if (file.Has("/classes")) result.classes = file.ReadStrings("/classes");
  for (const int32_t label : result.labels) {
    if (label < -1 || label >= std::ssize(result.classes)) {
      throw DataError("{}: /labels: {}, there are {} classes", file.path(), label,
                      result.classes.size());
    }
  }
  return result;
}

HostArray ToFrames(const HostArray& video) {
  const Shape& s = video.shape();
  HostArray frames(DType::kU8, {s[1], s[2], s[3], 3});
  const auto plane = static_cast<size_t>(s[1] * s[2] * s[3]);
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

}  // namespace suffice
