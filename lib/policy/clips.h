// SPDX-License-Identifier: Apache-2.0
// Datasets of video clips, and how clips are drawn from them.
//
// Encoding type dataset:
//   /classes            strings, the names of the classes
//   /sources/N/frames   (T, Y, X, 3) u8, RGB, packed; N = 0, 1, ...
//   attributes of /sources/N: name, class (index), train and held-out ([begin, end) of frames
//   each),
//                       fps (frames per second after the stride), sha256 (content digest of its
//                       file)
//   attribute of "/":   clip-frames, the clip length that the splits were made for
//
// Splits are by contiguous time with a gap of one clip between them, or by whole sources; a clip of
// clip-frames frames lies within one range, so no frame of a held-out clip was ever trained on.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "lib/io/tensor_file.h"

namespace suffice {

struct FrameRange {
  int64_t begin = 0, end = 0;
  int64_t size() const { return end - begin; }
  bool Meets(const FrameRange& other) const {
    return std::max(begin, other.begin) < std::min(end, other.end);
  }
};

struct ClipSource {
  std::string name;
  int64_t label = 0;
  FrameRange train, held_out;
  double fps = 0;
  std::string sha256;
  HostArray frames;  // (T, Y, X, 3) u8
};

// Which clip: a function of (seed, index) alone.
struct ClipDraw {
  int32_t source = 0;
  int32_t start = 0;     // frame within the source
  int32_t y = 0, x = 0;  // upper left corner of the crop
  bool flip = false;
  int64_t label = 0;
};

struct ClipShape {
  int64_t frames = 0, height = 0, width = 0;
};

class ClipDataset {
 public:
  ClipDataset(std::vector<std::string> classes, std::vector<ClipSource> sources,
              int64_t clip_frames);
  // A dataset, or a samples file: its videos, rounded to 8 bits, are sources of the label they were
  // made for, to train on and with nothing held out. Throws kData for anything that the layout does
  // not allow and for videos without a label.
  static ClipDataset Read(const std::string& path);
  void Write(TensorWriter* writer) const;

  const std::vector<std::string>& classes() const { return classes_; }
  const std::vector<ClipSource>& sources() const { return sources_; }
  int64_t clip_frames() const { return clip_frames_; }

  // Throws kUsage, naming what is too small, if no clip of this shape fits the split.
  void RequireShape(const ClipShape& shape, bool held_out, const std::string& path) const;

  // Uniform over the (source, start) pairs of the split, then over crops, then over flips if asked.
  ClipDraw Draw(const ClipShape& shape, bool held_out, bool flips, uint64_t seed,
                uint64_t index) const;
  // (3, F, Y, X) fp32 in [-1, 1].
  HostArray Clip(const ClipDraw& draw, const ClipShape& shape) const;

 private:
  static ClipDataset FromSamples(const TensorReader& file);
  std::vector<std::string> classes_;
  std::vector<ClipSource> sources_;
  int64_t clip_frames_ = 0;
};

}  // namespace suffice
