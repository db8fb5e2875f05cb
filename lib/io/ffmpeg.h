// SPDX-License-Identifier: Apache-2.0
// Video in and out through the ffmpeg program, which knows the formats so that we need not. It is
// started with a list of words, reads local files only, and is named with Debian's package when it
// is missing (kDevice).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "lib/io/image.h"
#include "lib/io/y4m.h"

namespace suffice {

// Applied in this order.
struct VideoOptions {
  double start_seconds = 0;  // what comes before is skipped
  double fps = 0;            // resampled to this rate; 0: every frame
  int64_t stride = 1;        // of these frames, every stride-th
  int crop_x = 0;            // a rectangle of the picture; width 0: all of it
  int crop_y = 0;
  int crop_width = 0;
  int crop_height = 0;
  int width = 0;  // scaled to cover this size, what sticks out is cut evenly; 0: as it is
  int height = 0;
  int64_t max_frames = 0;  // 0: all
};

// Decodes whatever ffmpeg reads, also as .gz, to RGB frames of one size. kData, with the last line
// of what ffmpeg said, for a file that it cannot read to its end or that has no frame.
class VideoReader {
 public:
  VideoReader(const std::string& path, const VideoOptions& options);
  ~VideoReader();
  VideoReader(VideoReader&&) noexcept;

  std::optional<Picture> Next();  // three channels; nothing after the last frame

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Encodes RGB frames as H.264 in an mp4 that appears at Commit; the same bytes for the same frames
// and the same ffmpeg. Sizes with an odd side are stored as 4:4:4, others as 4:2:0.
class VideoWriter {
 public:
  VideoWriter(const std::string& path, int width, int height, FrameRate rate, bool force = false,
              int crf = 18);  // constant rate factor: 0 lossless, 51 worst
  ~VideoWriter();
  void WriteFrame(std::span<const uint8_t> rgb);  // height * width * 3
  void Commit();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace suffice
