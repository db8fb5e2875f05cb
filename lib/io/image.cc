// SPDX-License-Identifier: Apache-2.0
#include "lib/io/image.h"

#include <memory>

#include "lib/base/error.h"
#include "lib/io/atomic_file.h"
#include "lib/io/text_file.h"

#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_STATIC
#define STBI_NO_STDIO
#define STBI_NO_HDR
#define STBI_NO_LINEAR
#define STBI_NO_PSD
#define STBI_NO_GIF
#define STBI_NO_PIC
#define STBI_NO_TGA
#define STBI_MAX_DIMENSIONS 16384
#include <stb_image.h>

#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STB_IMAGE_WRITE_STATIC
#define STBI_WRITE_NO_STDIO
#include <stb_image_write.h>

namespace suffice {
namespace {

static_assert(kMaxPictureSide == STBI_MAX_DIMENSIONS);
constexpr uint64_t kMaxFileBytes = uint64_t{512} << 20;

void CheckPicture(const Picture& picture) {
  SUFFICE_CHECK(picture.width > 0 && picture.height > 0 && picture.channels >= 1 &&
                picture.channels <= 4);
  SUFFICE_CHECK(picture.pixels.size() == static_cast<size_t>(picture.width) *
                                             static_cast<size_t>(picture.height) *
                                             static_cast<size_t>(picture.channels));
}

}  // namespace

Picture ReadPicture(const std::string& path, int channels) {
  SUFFICE_CHECK(channels >= 0 && channels <= 4);
  const std::string bytes = ReadText(path, kMaxFileBytes);
  const auto* data = reinterpret_cast<const stbi_uc*>(bytes.data());
  const int size = static_cast<int>(bytes.size());
  Picture picture;
  if (stbi_info_from_memory(data, size, &picture.width, &picture.height, &picture.channels) == 0) {
    throw DataError("{}: not a picture that can be read: {}", path, stbi_failure_reason());
  }
  if (picture.width > kMaxPictureSide || picture.height > kMaxPictureSide) {
    throw DataError("{}: {} x {} pixels, sides of at most {} are read", path, picture.width,
                    picture.height, kMaxPictureSide);
  }
  const std::unique_ptr<stbi_uc, void (*)(void*)> decoded(
      stbi_load_from_memory(data, size, &picture.width, &picture.height, &picture.channels,
                            channels),
      &stbi_image_free);
  if (!decoded) throw DataError("{}: a damaged picture: {}", path, stbi_failure_reason());
  if (channels != 0) picture.channels = channels;
  const size_t count = static_cast<size_t>(picture.width) * static_cast<size_t>(picture.height) *
                       static_cast<size_t>(picture.channels);
  picture.pixels.assign(decoded.get(), decoded.get() + count);
  return picture;
}

void WritePng(const std::string& path, const Picture& picture, bool force) {
  CheckPicture(picture);
  AtomicFile file(path, force);
  std::string bytes;
  const auto append = [](void* out, void* data, int size) {
    static_cast<std::string*>(out)->append(static_cast<const char*>(data),
                                           static_cast<size_t>(size));
  };
  if (stbi_write_png_to_func(append, &bytes, picture.width, picture.height, picture.channels,
                             picture.pixels.data(), picture.width * picture.channels) == 0) {
    throw RunError("{}: could not be encoded as PNG", path);
  }
  file.Write(bytes);
  file.Commit();
}

void WritePpm(const std::string& path, const Picture& picture, bool force) {
  CheckPicture(picture);
  SUFFICE_CHECK(picture.channels == 3);
  AtomicFile file(path, force);
  file.Write(fmt::format("P6\n{} {}\n255\n", picture.width, picture.height));
  file.Write(picture.pixels.data(), picture.pixels.size());
  file.Commit();
}

}  // namespace suffice
