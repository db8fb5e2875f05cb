// SPDX-License-Identifier: Apache-2.0
// The videos of a samples file, as `generate sample` writes it:
//   /video    (B, C, F, Y, X) f32 or bf16 in about [-1, 1]; here C = 3, RGB
//   /labels   (B) i32, -1 without a class
//   /classes  strings, the names of the labels; absent without classes
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "lib/io/tensor_file.h"

namespace suffice {

// (B, 3, F, Y, X) of /video. Throws kData for another type or shape, or when there is none.
Shape RequireVideos(const TensorReader& file);

// Video i of a file with videos, (3, F, Y, X) fp32. Throws kData for a NaN or an infinity.
HostArray ReadVideo(const TensorReader& file, int64_t i);

struct VideoLabels {
  std::vector<int32_t> labels;  // B of them
  std::vector<std::string> classes;
};
// Throws kData for a label that is neither -1 nor one of the classes.
VideoLabels ReadVideoLabels(const TensorReader& file);

// (3, F, Y, X) in about [-1, 1] to (F, Y, X, 3) u8, rounded and cut off: the inverse of what
// ClipDataset::Clip does.
HostArray ToFrames(const HostArray& video);

}  // namespace suffice
