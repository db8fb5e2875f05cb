// SPDX-License-Identifier: Apache-2.0
#include "lib/generate/motion.h"

#include <algorithm>
#include <array>

#include "lib/base/error.h"
#include "lib/base/philox.h"

namespace suffice::generate {
namespace {

// a / b for b > 0, rounded half away from zero.
int64_t RoundedQuotient(int64_t a, int64_t b) {
  return a < 0 ? -((-2 * a + b) / (2 * b)) : (2 * a + b) / (2 * b);
}

int64_t Between(int64_t from, int64_t to, int64_t i, int64_t n) {
  return n < 2 ? from : from + RoundedQuotient((to - from) * i, n - 1);
}

// From 0 to `most`, both included.
int64_t UpTo(uint32_t bits, int64_t most) {
  return static_cast<int64_t>(uint64_t{bits} * (static_cast<uint64_t>(most) + 1) >> 32);
}

struct Area {  // in pixels
  int64_t x = 0, y = 0, width = 0, height = 0;
};

std::string Words(const Area& area) {
  return fmt::format("[{}, {}, {}, {}]", area.x, area.y, area.width, area.height);
}

bool Holds(const Area& outer, const Area& inner) {
  return inner.x >= outer.x && inner.y >= outer.y &&
         inner.x + inner.width <= outer.x + outer.width &&
         inner.y + inner.height <= outer.y + outer.height;
}

Area AreaOf(const std::vector<int64_t>& list) { return {list[0], list[1], list[2], list[3]}; }

Area UsablePart(const SourceConfig& source, const PictureSize& picture) {
  const Area all{0, 0, picture.width, picture.height};
  if (source.crop.empty()) return all;
  const Area crop = AreaOf(source.crop);
  if (crop.width < 1 || crop.height < 1 || !Holds(all, crop)) {
    throw UsageError("{}: crop: {} is not within its {}x{} pixels", source.file, Words(crop),
                     picture.width, picture.height);
  }
  return crop;
}

Window GivenWindow(const SourceConfig& source, const char* key, const std::vector<int64_t>& list,
                   const Area& part, const PictureSize& frame) {
  const Area area = AreaOf(list);
  if (!Holds(part, area)) {
    throw UsageError("{}: motion.{}: {} leaves the picture, {} is there", source.file, key,
                     Words(area), Words(part));
  }
  if (area.width < frame.width || area.height < frame.height) {
    throw UsageError("{}: motion.{}: {}x{} pixels, a frame of {}x{} wants as many", source.file,
                     key, area.width, area.height, frame.width, frame.height);
  }
  // Another shape by more than the rounding of one side to a pixel would be distorted.
  if (std::abs(area.width * frame.height - area.height * frame.width) >
      std::max(frame.width, frame.height)) {
    throw UsageError("{}: motion.{}: {}x{} pixels, the shape of {}x{} is wanted", source.file, key,
                     area.width, area.height, frame.width, frame.height);
  }
  return {kSubPixels * area.x, kSubPixels * area.y, kSubPixels * area.width,
          kSubPixels * area.height};
}

Window RandomWindow(const SourceConfig& source, const Area& part, const PictureSize& frame,
                    const std::array<uint32_t, 4>& bits) {
  const int64_t most =
      std::min(kSubPixels * part.width, kSubPixels * part.height * frame.width / frame.height);
  const int64_t least = kSubPixels * frame.width;
  const auto part_of = [&](int64_t ppm) { return most * ppm / 1'000'000; };
  const int64_t low = std::max(least, part_of(source.motion.scale[0].value));
  const int64_t high = part_of(source.motion.scale[1].value);
  if (high < low) {
    throw UsageError("{}: motion.scale: at most {} columns, a frame of {}x{} wants as many",
                     source.file, high / kSubPixels, frame.width, frame.height);
  }
  Window window;
  window.width = low + UpTo(bits[0], high - low);
  window.height =
      std::min(kSubPixels * part.height, RoundedQuotient(window.width * frame.height, frame.width));
  window.x = kSubPixels * part.x + UpTo(bits[1], kSubPixels * part.width - window.width);
  window.y = kSubPixels * part.y + UpTo(bits[2], kSubPixels * part.height - window.height);
  return window;
}

std::vector<int64_t> Edges(int64_t begin, int64_t length, int64_t cells) {
  std::vector<int64_t> edges;
  for (int64_t j = 0; j <= cells; ++j)
    edges.push_back(begin + (2 * j * length + cells) / (2 * cells));
  return edges;
}

}  // namespace

void CheckMotion(const SourceConfig& source) {
  const MotionConfig& motion = source.motion;
  const bool given = !motion.from.empty() || !motion.to.empty();
  if (!Moves(source)) {
    if (given || motion.paths > 0) {
      throw UsageError("{}: motion.frames: 0, as many as a path has are wanted", source.file);
    }
    return;
  }
  if (given == (motion.paths > 0)) {
    throw UsageError("{}: motion: {}, one path (from, to) or some random ones (paths) are wanted",
                     source.file, given ? "both from, to and paths" : "neither from, to nor paths");
  }
  if (given && (motion.from.size() != 4 || motion.to.size() != 4)) {
    throw UsageError("{}: motion: from of {} and to of {} numbers, x, y, width, height wanted",
                     source.file, motion.from.size(), motion.to.size());
  }
  if (motion.scale.size() != 2 || motion.scale[0].value > motion.scale[1].value) {
    throw UsageError("{}: motion.scale: the least and the greatest are wanted", source.file);
  }
  if (source.split == "both") {
    throw UsageError(
        "{}: split: both, but windows of one picture share pixels: train or held_out "
        "is wanted",
        source.file);
  }
}

MotionPath PathOf(const SourceConfig& source, int64_t path, const PictureSize& picture,
                  const PictureSize& frame, uint64_t seed) {
  const MotionConfig& motion = source.motion;
  const Area part = UsablePart(source, picture);
  if (motion.paths == 0) {
    return {GivenWindow(source, "from", motion.from, part, frame),
            GivenWindow(source, "to", motion.to, part, frame)};
  }
  const auto stream = static_cast<uint32_t>(Stream::kMotion);
  const auto index = 2 * static_cast<uint64_t>(path);
  return {RandomWindow(source, part, frame, Philox(seed, stream, index)),
          RandomWindow(source, part, frame, Philox(seed, stream, index + 1))};
}

Window WindowAt(const MotionPath& path, int64_t frame, int64_t frames) {
  const Window &a = path.from, &b = path.to;
  return {Between(a.x, b.x, frame, frames), Between(a.y, b.y, frame, frames),
          Between(a.width, b.width, frame, frames), Between(a.height, b.height, frame, frames)};
}

MovingPicture::MovingPicture(const Picture& picture) : size_{picture.width, picture.height} {
  SUFFICE_CHECK(picture.channels == 3);
  sums_.resize(static_cast<size_t>(size_.height * (size_.width + 1) * 3));
  const uint8_t* pixel = picture.pixels.data();
  uint32_t* sum = sums_.data();
  for (int64_t y = 0; y < size_.height; ++y, sum += 3) {
    for (int64_t i = 0; i < 3 * size_.width; ++i, ++sum) sum[3] = sum[0] + *pixel++;
  }
}

void MovingPicture::Append(const Window& window, const PictureSize& frame,
                           std::vector<uint8_t>* out) const {
  // x and width are rounded apart: an edge may fall a unit outside.
  std::vector<int64_t> columns = Edges(window.x, window.width, frame.width);
  std::vector<int64_t> rows = Edges(window.y, window.height, frame.height);
  columns.back() = std::min(columns.back(), kSubPixels * size_.width);
  rows.back() = std::min(rows.back(), kSubPixels * size_.height);
  // A row's integral up to each edge is 256 times the pixels before it and part of the one it cuts.
  std::vector<int64_t> cells(static_cast<size_t>(frame.width * 3));
  for (int64_t j = 0; j < frame.height; ++j) {
    std::fill(cells.begin(), cells.end(), 0);
    const int64_t top = rows[static_cast<size_t>(j)], bottom = rows[static_cast<size_t>(j) + 1];
    for (int64_t y = top / kSubPixels; kSubPixels * y < bottom; ++y) {
      const int64_t weight = std::min(bottom, kSubPixels * (y + 1)) - std::max(top, kSubPixels * y);
      const uint32_t* sums = sums_.data() + y * (size_.width + 1) * 3;
      std::array<int64_t, 3> left{};
      for (size_t edge = 0; edge < columns.size(); ++edge) {
        const int64_t x = columns[edge] / kSubPixels, cut = columns[edge] % kSubPixels;
        for (size_t c = 0; c < 3; ++c) {
          const uint32_t* sum = sums + 3 * x + static_cast<int64_t>(c);
          int64_t integral = kSubPixels * int64_t{sum[0]};
          if (cut > 0) integral += cut * (int64_t{sum[3]} - int64_t{sum[0]});
          if (edge > 0) cells[3 * (edge - 1) + c] += weight * (integral - left[c]);
          left[c] = integral;
        }
      }
    }
    for (size_t i = 0; i < cells.size(); ++i) {
      const int64_t area = (columns[i / 3 + 1] - columns[i / 3]) * (bottom - top);
      out->push_back(static_cast<uint8_t>((2 * cells[i] + area) / (2 * area)));
    }
  }
}

}  // namespace suffice::generate
