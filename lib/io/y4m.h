// SPDX-License-Identifier: Apache-2.0
// YUV4MPEG2 output: uncompressed video that streams, also to standard output. Frames are
// 4:4:4, 8 bits, limited range, by the matrix of ITU-R BT.601, which players and ffmpeg assume
// where none is named.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "lib/io/text_file.h"

namespace suffice {

struct FrameRate {
  int numerator = 24;
  int denominator = 1;
};

class Y4mWriter {
 public:
  // `path` as OutputStream takes it.
  Y4mWriter(const std::string& path, int width, int height, FrameRate rate, bool force = false);
  void WriteFrame(std::span<const uint8_t> rgb);  // height * width * 3
  void Commit() { stream_.Commit(); }

 private:
  OutputStream stream_;
  size_t pixels_;
  std::vector<uint8_t> planes_;
};

}  // namespace suffice
