// SPDX-License-Identifier: Apache-2.0
#include "lib/generate/frames.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "lib/base/error.h"
#include "lib/policy/samples.h"

namespace suffice::generate {
namespace {

std::vector<int64_t> Which(const std::vector<int64_t>& which, int64_t count,
                           const std::string& path) {
  std::vector<int64_t> all = which;
  if (all.empty()) {
    all.resize(static_cast<size_t>(count));
    std::iota(all.begin(), all.end(), 0);
  }
  for (const int64_t i : all) {
    if (i >= count) throw UsageError("video {}: asked for, {} has {}", i, path, count);
  }
  return all;
}

Video ToVideo(const HostArray& frames) {  // (F, Y, X, 3) u8
  const Shape& shape = frames.shape();
  const auto bytes = frames.values<uint8_t>();
  return {static_cast<int>(shape[2]),
          static_cast<int>(shape[1]),
          shape[0],
          {bytes.begin(), bytes.end()}};
}

void ReadSamples(const TensorReader& file, const std::vector<int64_t>& which, VideoSet* set) {
  for (const int64_t i : Which(which, RequireVideos(file)[0], file.path()))
    set->videos.push_back(ToVideo(ToFrames(ReadVideo(file, i))));
  set->fps = file.FloatAttribute("/", "fps").value_or(set->fps);
}

void ReadSources(const TensorReader& file, const std::vector<int64_t>& which, VideoSet* set) {
  int64_t count = 0;
  while (file.HasGroup(fmt::format("/sources/{}", count))) ++count;
  for (const int64_t i : Which(which, count, file.path())) {
    const std::string source = fmt::format("/sources/{}", i);
    const Shape shape =
        file.Require(source + "/frames", DType::kU8, {-1, -1, -1, 3}, "a dataset").shape;
    if (shape.elements() == 0) throw DataError("{}: {}/frames: no frames", file.path(), source);
    set->videos.push_back(ToVideo(file.Read(source + "/frames")));
    const double fps = file.FloatAttribute(source, "fps").value_or(0);
    if (set->videos.size() == 1 && fps > 0) set->fps = fps;
  }
}

Picture Canvas(const VideoSet& set, int64_t columns, int64_t rows, const std::string& what) {
  const Video& first = set.videos.front();
  if (columns * first.width > kMaxPictureSide || rows * first.height > kMaxPictureSide) {
    throw UsageError("{} of {} x {} frames of {}x{}: a picture has at most {} pixels a side", what,
                     columns, rows, first.width, first.height, kMaxPictureSide);
  }
  Picture picture{
      static_cast<int>(columns) * first.width, static_cast<int>(rows) * first.height, 3, {}};
  picture.pixels.resize(static_cast<size_t>(picture.width) * static_cast<size_t>(picture.height) *
                        3);
  return picture;
}

void Put(const Video& video, int64_t frame, int64_t column, int64_t row, Picture* picture) {
  const uint8_t* from = video.Frame(frame);
  const int64_t bytes = int64_t{3} * video.width;
  for (int64_t y = 0; y < video.height; ++y, from += bytes) {
    const int64_t at = ((row * video.height + y) * picture->width + column * video.width) * 3;
    std::copy_n(from, bytes, picture->pixels.begin() + at);
  }
}

}  // namespace

const uint8_t* Video::Frame(int64_t i) const {
  return pixels.data() + std::min(i, frames - 1) * height * width * 3;
}

VideoSet ReadVideos(const TensorReader& file, const std::vector<int64_t>& which) {
  VideoSet set;
  switch (file.header().encoding_type) {
    case EncodingType::kSamples:
      ReadSamples(file, which, &set);
      break;
    case EncodingType::kDataset:
      ReadSources(file, which, &set);
      break;
    default:
      throw DataError("{}: a {} file, pictures are made of samples and datasets", file.path(),
                      NameOf(file.header().encoding_type));
  }
  if (set.videos.empty()) throw DataError("{}: no videos", file.path());
  const Video& first = set.videos.front();
  for (const Video& video : set.videos) {
    if (video.width != first.width || video.height != first.height) {
      throw DataError("{}: videos of {}x{} and {}x{}; pick some of one size", file.path(),
                      first.width, first.height, video.width, video.height);
    }
  }
  return set;
}

int64_t LongestOf(const VideoSet& set) {
  int64_t longest = 0;
  for (const Video& video : set.videos) longest = std::max(longest, video.frames);
  return longest;
}

Picture Mosaic(const VideoSet& set, int64_t frame) {
  const auto count = static_cast<int64_t>(set.videos.size());
  const auto columns = static_cast<int64_t>(std::ceil(std::sqrt(static_cast<double>(count))));
  Picture picture = Canvas(set, columns, (count + columns - 1) / columns, "a mosaic");
  for (int64_t i = 0; i < count; ++i) {
    Put(set.videos[static_cast<size_t>(i)], frame, i % columns, i / columns, &picture);
  }
  return picture;
}

Picture ContactSheet(const VideoSet& set, int64_t columns) {
  const int64_t longest = LongestOf(set);
  const int64_t across = columns == 0 ? longest : std::min(columns, longest);
  Picture picture = Canvas(set, across, static_cast<int64_t>(set.videos.size()), "a contact sheet");
  for (size_t row = 0; row < set.videos.size(); ++row) {
    const Video& video = set.videos[row];
    const int64_t shown = std::min(across, video.frames);
    for (int64_t i = 0; i < shown; ++i) {
      const int64_t frame = shown == 1 ? 0 : i * (video.frames - 1) / (shown - 1);
      Put(video, frame, i, static_cast<int64_t>(row), &picture);
    }
  }
  return picture;
}

}  // namespace suffice::generate
