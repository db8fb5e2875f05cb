// SPDX-License-Identifier: Apache-2.0
// Pictures of 8 bits a channel.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace suffice {

inline constexpr int kMaxPictureSide = 16384;

struct Picture {
  int width = 0;
  int height = 0;
  int channels = 0;             // 1 grey, 2 grey and alpha, 3 RGB, 4 RGB and alpha
  std::vector<uint8_t> pixels;  // height * width * channels, row-major from the top left
};

// PNG, JPEG, BMP or binary PPM/PGM. `channels` of 1 to 4 converts, 0 keeps what the file has;
// 16-bit pictures are reduced to 8. kData, naming the file, for anything else and for sides above
// kMaxPictureSide (of which the header tells before anything is decoded).
Picture ReadPicture(const std::string& path, int channels = 0);

void WritePng(const std::string& path, const Picture& picture, bool force = false);
void WritePpm(const std::string& path, const Picture& picture, bool force = false);  // RGB only

}  // namespace suffice
