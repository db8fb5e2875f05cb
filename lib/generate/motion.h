// SPDX-License-Identifier: Apache-2.0
// A photograph as clips: a window that moves over it, frame by frame, in integer arithmetic alone,
// so that the same file, config and seed give the same bytes on every machine.
//
// Windows are in units of 1/256 pixel. Frame i of n lies at from + (to - from) i / (n - 1), each of
// x, y, width and height rounded half away from zero. Column j of W covers [e_j, e_{j+1}) with
// e_j = x + floor((2 j width + W) / (2 W)), rows alike; a value of the frame is the average of the
// picture's bytes over its cell, parts of pixels counted by their area, rounded half up. At one
// pixel of the picture per pixel of the frame that is bilinear interpolation; windows finer than
// that are refused, so nothing is ever enlarged or aliased. Bytes are averaged as stored (sRGB).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "lib/generate/verbs.h"
#include "lib/io/image.h"

namespace suffice::generate {

inline constexpr int64_t kSubPixels = 256;

struct Window {  // in 1/256 pixel
  int64_t x = 0, y = 0, width = 0, height = 0;
  bool operator==(const Window&) const = default;
};

struct MotionPath {
  Window from, to;
};

struct PictureSize {
  int64_t width = 0, height = 0;
};

inline bool Moves(const SourceConfig& source) { return source.motion.frames > 0; }
inline int64_t PathCount(const SourceConfig& source) {
  return Moves(source) && source.motion.paths > 0 ? source.motion.paths : 1;
}

// kUsage, naming source.file, for a motion that says too little, too much or of both kinds, and for
// one that would put windows of one photograph into both splits.
void CheckMotion(const SourceConfig& source);

// The path: the given one, or number `path` of the random ones, whose ends are drawn apart, each by
// Philox(seed, Stream::kMotion, 2 path and 2 path + 1): its scale within motion.scale of the
// largest window of the frame's shape, then its place. kUsage, naming source.file, for a window
// outside the picture (or its crop), of another shape than the frame or with fewer pixels.
MotionPath PathOf(const SourceConfig& source, int64_t path, const PictureSize& picture,
                  const PictureSize& frame, uint64_t seed);

Window WindowAt(const MotionPath& path, int64_t frame, int64_t frames);

// One decoded photograph with the running sums of its rows.
class MovingPicture {
 public:
  explicit MovingPicture(const Picture& picture);  // three channels
  PictureSize size() const { return size_; }
  // Appends (H, W, 3) bytes of the window, which lies in the picture.
  void Append(const Window& window, const PictureSize& frame, std::vector<uint8_t>* out) const;

 private:
  PictureSize size_;
  std::vector<uint32_t> sums_;  // (height, width + 1, 3): of the pixels to the left
};

}  // namespace suffice::generate
