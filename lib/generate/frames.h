// SPDX-License-Identifier: Apache-2.0
// The videos in a samples or dataset file as RGB frames.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "lib/io/image.h"
#include "lib/io/tensor_file.h"

namespace suffice::generate {

struct Video {
  int width = 0, height = 0;
  int64_t frames = 0;
  std::vector<uint8_t> pixels;  // frames * height * width * 3

  const uint8_t* Frame(int64_t i) const;  // the last one for all after it
};

struct VideoSet {
  std::vector<Video> videos;  // of one size
  double fps = 8;
};

// Samples: [-1, 1] becomes 0 to 255, rounded to nearest, what is outside cut off. Datasets: a video
// for each source. `which` picks by number in the order given, all if empty. kData, naming file and
// object, for another kind of file and for sizes that differ; kUsage for a number that there is
// not.
VideoSet ReadVideos(const TensorReader& file, const std::vector<int64_t>& which);

// All videos at one time, in a grid as square as can be, row by row, black where there is none.
Picture Mosaic(const VideoSet& set, int64_t frame);
// A row for each video: `columns` frames of it at even distances, all if 0.
Picture ContactSheet(const VideoSet& set, int64_t columns);

int64_t LongestOf(const VideoSet& set);  // frames

}  // namespace suffice::generate
