// SPDX-License-Identifier: Apache-2.0
#include "lib/io/y4m.h"

#include "lib/base/error.h"

namespace suffice {
namespace {

// round(sum / 255000) for a sum of either sign.
int Rounded(int sum) { return (sum + (sum < 0 ? -127500 : 127500)) / 255000; }

}  // namespace

Y4mWriter::Y4mWriter(const std::string& path, int width, int height, FrameRate rate, bool force)
    : stream_(path, force),
      pixels_(static_cast<size_t>(width) * static_cast<size_t>(height)),
      planes_(3 * pixels_) {
  SUFFICE_CHECK(width > 0 && height > 0 && rate.numerator > 0 && rate.denominator > 0);
  stream_.Write(fmt::format("YUV4MPEG2 W{} H{} F{}:{} Ip A1:1 C444 XCOLORRANGE=LIMITED\n", width,
                            height, rate.numerator, rate.denominator));
}

void Y4mWriter::WriteFrame(std::span<const uint8_t> rgb) {
  SUFFICE_CHECK(rgb.size() == 3 * pixels_);
  for (size_t i = 0; i < pixels_; ++i) {
    const int r = rgb[3 * i];
    const int g = rgb[3 * i + 1];
    const int b = rgb[3 * i + 2];
    // BT.601: K_R = 0.299, K_B = 0.114; luma to 16..235, differences to 16..240; in millionths.
    planes_[i] = static_cast<uint8_t>(16 + Rounded(65481 * r + 128553 * g + 24966 * b));
    planes_[pixels_ + i] = static_cast<uint8_t>(128 + Rounded(-37797 * r - 74203 * g + 112000 * b));
    planes_[2 * pixels_ + i] =
        static_cast<uint8_t>(128 + Rounded(112000 * r - 93786 * g - 18214 * b));
  }
  stream_.Write("FRAME\n");
  stream_.Write(planes_.data(), planes_.size());
}

}  // namespace suffice
