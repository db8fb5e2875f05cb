// SPDX-License-Identifier: Apache-2.0
// Pictures, y4m and the videos that go through the ffmpeg program. The clips are made here, by it.
#include <stdlib.h>
#include <zlib.h>

#include <cmath>

#include "lib/io/ffmpeg.h"
#include "lib/io/image.h"
#include "lib/io/y4m.h"
#include "tests/io/io_testing.h"

namespace suffice {
namespace {

// A gradient whose colours move with `t`.
Picture Gradient(int width, int height, int t) {
  Picture picture{width, height, 3, {}};
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      picture.pixels.push_back(static_cast<uint8_t>(255 * x / width));
      picture.pixels.push_back(static_cast<uint8_t>(255 * y / height));
      picture.pixels.push_back(static_cast<uint8_t>(40 * t % 256));
    }
  }
  return picture;
}

double MeanDifference(const Picture& a, const Picture& b) {
  if (a.pixels.size() != b.pixels.size()) return 256;
  double sum = 0;
  for (size_t i = 0; i < a.pixels.size(); ++i) sum += std::abs(a.pixels[i] - b.pixels[i]);
  return sum / static_cast<double>(a.pixels.size());
}

std::vector<Picture> ReadAll(const std::string& path, const VideoOptions& options) {
  VideoReader reader(path, options);
  std::vector<Picture> frames;
  while (auto frame = reader.Next()) frames.push_back(std::move(*frame));
  EXPECT_FALSE(reader.Next().has_value());
  return frames;
}

void WriteClip(const std::string& path, int width, int height, int frames, bool force = false) {
  VideoWriter writer(path, width, height, {10, 1}, force, 1);
  for (int t = 0; t < frames; ++t) writer.WriteFrame(Gradient(width, height, t).pixels);
  writer.Commit();
}

class Ffmpeg : public ::testing::Test {
 protected:
  void SetUp() override {
    if (std::system("ffmpeg -version >/dev/null 2>&1") != 0) GTEST_SKIP() << "no ffmpeg here";
  }
};

TEST(Image, ReadsBackWhatWasWritten) {
  const TempFolder folder;
  for (const int channels : {1, 2, 3, 4}) {
    Picture picture{5, 3, channels, {}};
    for (int i = 0; i < 15 * channels; ++i) picture.pixels.push_back(static_cast<uint8_t>(i * 7));
    WritePng(folder / "p.png", picture, true);
    const Picture found = ReadPicture(folder / "p.png");
    EXPECT_EQ(found.width, 5);
    EXPECT_EQ(found.height, 3);
    EXPECT_EQ(found.channels, channels);
    EXPECT_EQ(found.pixels, picture.pixels);
  }
  const Picture colour = Gradient(6, 4, 2);
  WritePpm(folder / "p.ppm", colour);
  EXPECT_EQ(ReadPicture(folder / "p.ppm").pixels, colour.pixels);
  EXPECT_EQ(ReadPicture(folder / "p.ppm", 4).pixels.size(), 96u);
  MessageOf(ExitCode::kUsage, [&] { WritePpm(folder / "p.ppm", colour); });
}

TEST(Image, RefusesDamageAndAbsurdSizes) {
  const TempFolder folder;
  const std::string path = folder / "p.png";
  WritePng(path, Gradient(64, 64, 1));
  const std::string good = ReadBytes(path);
  std::string huge = good;
  huge.replace(16, 8, std::string("\x7f\xff\xff\xff\x7f\xff\xff\xff", 8));
  std::string wide = good;
  wide.replace(16, 4, std::string("\0\0\x40\x01", 4));  // 16385
  for (const std::string& bytes : {std::string(), std::string("GIF89a"), good.substr(0, 100),
                                   good.substr(0, 20), huge, wide}) {
    WriteBytes(path, bytes);
    const std::string message = MessageOf(ExitCode::kData, [&] { ReadPicture(path); });
    EXPECT_TRUE(message.starts_with(path + ": ")) << message;
  }
  MessageOf(ExitCode::kData, [&] { ReadPicture(folder / "absent.png"); });
}

TEST(Y4m, StatesItsFormatAndItsMatrix) {
  const TempFolder folder;
  Y4mWriter writer(folder / "v.y4m", 2, 1, {30000, 1001});
  const uint8_t white_and_red[] = {255, 255, 255, 255, 0, 0};
  writer.WriteFrame(white_and_red);
  writer.Commit();
  const std::string wanted = std::string("YUV4MPEG2 W2 H1 F30000:1001 Ip A1:1 C444 ") +
                             "XCOLORRANGE=LIMITED\nFRAME\n" + "\xEB\x51" + "\x80\x5A" + "\x80\xF0";
  EXPECT_EQ(ReadBytes(folder / "v.y4m"), wanted);
}

TEST_F(Ffmpeg, ReadsY4mInTheSameColours) {
  const TempFolder folder;
  const Picture frame = Gradient(64, 48, 3);
  Y4mWriter writer(folder / "v.y4m", 64, 48, {10, 1});
  for (int t = 0; t < 3; ++t) writer.WriteFrame(frame.pixels);
  writer.Commit();
  const auto frames = ReadAll(folder / "v.y4m", {});
  ASSERT_EQ(frames.size(), 3u);
  EXPECT_LT(MeanDifference(frames[2], frame), 1.5);
}

TEST_F(Ffmpeg, EncodesAndDecodesTheSameFrames) {
  const TempFolder folder;
  WriteClip(folder / "a.mp4", 64, 48, 12);
  WriteClip(folder / "b.mp4", 64, 48, 12);
  EXPECT_EQ(ReadBytes(folder / "a.mp4"), ReadBytes(folder / "b.mp4"));
  const auto frames = ReadAll(folder / "a.mp4", {});
  ASSERT_EQ(frames.size(), 12u);
  for (int t = 0; t < 12; ++t) {
    EXPECT_LT(MeanDifference(frames[static_cast<size_t>(t)], Gradient(64, 48, t)), 4) << t;
  }
  WriteClip(folder / "odd.mp4", 33, 17, 2);
  EXPECT_EQ(ReadAll(folder / "odd.mp4", {})[0].width, 33);
  MessageOf(ExitCode::kUsage, [&] { WriteClip(folder / "a.mp4", 64, 48, 1); });
}

TEST_F(Ffmpeg, AppliesItsOptions) {
  const TempFolder folder;
  const std::string path = folder / "a.mp4";
  WriteClip(path, 64, 48, 12);
  const auto strided = ReadAll(path, {.stride = 5});
  ASSERT_EQ(strided.size(), 3u);
  EXPECT_LT(MeanDifference(strided[2], Gradient(64, 48, 10)), 4);
  const auto late = ReadAll(path, {.start_seconds = 1.0});
  ASSERT_EQ(late.size(), 2u);
  EXPECT_LT(MeanDifference(late[0], Gradient(64, 48, 10)), 4);
  EXPECT_EQ(ReadAll(path, {.fps = 5}).size(), 6u);
  EXPECT_EQ(ReadAll(path, {.max_frames = 4}).size(), 4u);
  const auto scaled = ReadAll(path, {.width = 16, .height = 16, .max_frames = 1});
  EXPECT_EQ(scaled[0].pixels.size(), 16u * 16 * 3);
  const auto cropped = ReadAll(
      path, {.crop_x = 8, .crop_y = 4, .crop_width = 20, .crop_height = 10, .max_frames = 1});
  ASSERT_EQ(cropped[0].width, 20);
  EXPECT_NEAR(cropped[0].pixels[0], 255 * 8 / 64, 8);
}

TEST_F(Ffmpeg, UnpacksGzip) {
  const TempFolder folder;
  WriteClip(folder / "a.mp4", 64, 48, 5);
  const std::string bytes = ReadBytes(folder / "a.mp4");
  const std::string packed = folder / "a.mp4.gz";
  const gzFile out = gzopen(packed.c_str(), "wb");
  ASSERT_EQ(gzwrite(out, bytes.data(), static_cast<unsigned>(bytes.size())),
            static_cast<int>(bytes.size()));
  gzclose(out);
  EXPECT_EQ(ReadAll(packed, {}).size(), 5u);
  const std::string good = ReadBytes(packed);
  WriteBytes(packed, good.substr(0, good.size() / 2));
  const std::string message = MessageOf(ExitCode::kData, [&] { ReadAll(packed, {}); });
  EXPECT_TRUE(message.starts_with(packed + ": damaged gzip: ")) << message;
}

TEST_F(Ffmpeg, NamesTheFileThatItCannotRead) {
  const TempFolder folder;
  WriteClip(folder / "a.mp4", 64, 48, 30);
  const std::string good = ReadBytes(folder / "a.mp4");
  WriteBytes(folder / "text.mp4", "this is no video\n");
  WriteBytes(folder / "cut.mp4", good.substr(0, good.size() * 2 / 3));
  for (const std::string name : {"text.mp4", "cut.mp4"}) {
    const std::string path = folder / name;
    const std::string message = MessageOf(ExitCode::kData, [&] { ReadAll(path, {}); });
    EXPECT_TRUE(message.starts_with(path + ": ffmpeg cannot read it: ")) << message;
  }
  MessageOf(ExitCode::kData, [&] { ReadAll(folder / "absent.mp4", {}); });
  MessageOf(ExitCode::kData, [&] { ReadAll("concat:" + (folder / "a.mp4"), {}); });
  MessageOf(ExitCode::kData, [&] { ReadAll(folder / "a.mp4", {.start_seconds = 100}); });
}

TEST_F(Ffmpeg, MayBeLeftInTheMiddle) {
  const TempFolder folder;
  WriteClip(folder / "a.mp4", 64, 48, 30);
  {
    VideoReader reader(folder / "a.mp4", {});
    EXPECT_TRUE(reader.Next().has_value());
    VideoWriter writer(folder / "b.mp4", 64, 48, {10, 1});
    writer.WriteFrame(Gradient(64, 48, 0).pixels);
  }
  EXPECT_FALSE(std::filesystem::exists(folder / "b.mp4"));
}

TEST_F(Ffmpeg, IsNamedWithItsPackageWhenItIsMissing) {
  const TempFolder folder;
  WriteClip(folder / "a.mp4", 64, 48, 1);
  const std::string path = std::getenv("PATH");
  setenv("PATH", folder.path().c_str(), 1);
  const std::string message = MessageOf(ExitCode::kDevice, [&] { ReadAll(folder / "a.mp4", {}); });
  setenv("PATH", path.c_str(), 1);
  EXPECT_EQ(message, "ffmpeg: not found in PATH; Debian's package ffmpeg has it");
}

}  // namespace
}  // namespace suffice
