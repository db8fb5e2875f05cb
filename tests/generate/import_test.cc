// SPDX-License-Identifier: Apache-2.0
// import of photographs: windows that move, and what they may not do.
#include "lib/generate/motion.h"
#include "lib/io/image.h"
#include "tests/generate/generate_testing.h"

namespace suffice::testing {
namespace {

using generate::MotionPath;
using generate::MovingPicture;
using generate::Window;

// Pixel (x, y) has red 10 x, green 20 y, blue 200 where x + y is odd.
Picture Ramp(int width, int height) {
  Picture picture{width, height, 3, {}};
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      picture.pixels.push_back(static_cast<uint8_t>(10 * x));
      picture.pixels.push_back(static_cast<uint8_t>(20 * y));
      picture.pixels.push_back((x + y) % 2 == 1 ? 200 : 0);
    }
  }
  return picture;
}

using Bytes = std::vector<uint8_t>;

TEST(MovingPicture, AveragesTheAreaOfEachCell) {
  const MovingPicture picture(Ramp(6, 4));
  Bytes out;
  // 2x2 cells of 1.5 x 1 pixels from (0.5, 1): columns [0.5, 2) and [2, 3.5).
  picture.Append({128, 256, 768, 512}, {2, 2}, &out);
  // Red: (0.5 x 0 + 10) / 1.5 = 6.67 and (20 + 0.5 x 30) / 1.5 = 23.33. Green: 20 y.
  // Blue, y = 1: (0.5 x 200 + 0) / 1.5 = 66.67, (200 + 0) / 1.5 = 133.33; y = 2: the rest to 200.
  EXPECT_EQ(out, (Bytes{7, 20, 67, 23, 20, 133, 7, 40, 133, 23, 40, 67}));
}

TEST(MovingPicture, IsBilinearAtAPixelAPixel) {
  const MovingPicture picture(Ramp(6, 4));
  Bytes out;
  picture.Append({64, 128, 512, 256}, {2, 1}, &out);  // at (0.25, 0.5)
  EXPECT_EQ(out, (Bytes{3, 10, 100, 13, 10, 100}));   // 2.5 and 12.5, halves up
  out.clear();
  picture.Append({1024, 768, 512, 256}, {2, 1}, &out);  // the last corner, whole pixels
  EXPECT_EQ(out, (Bytes{40, 60, 200, 50, 60, 0}));
}

TEST(WindowAt, RoundsHalfAwayFromZeroAndEndsExactly) {
  const MotionPath path{{0, 5, 1024, 768}, {3, 0, 512, 384}};
  EXPECT_EQ(generate::WindowAt(path, 0, 3), path.from);
  EXPECT_EQ(generate::WindowAt(path, 1, 3), (Window{2, 2, 768, 576}));  // 1.5; 5 - 2.5
  EXPECT_EQ(generate::WindowAt(path, 2, 3), path.to);
  EXPECT_EQ(generate::WindowAt(path, 0, 1), path.from);
}

TEST(PathOf, RandomWindowsKeepToThePictureAndTheScale) {
  generate::SourceConfig source;
  source.file = "x.png";
  source.motion.paths = 200;
  source.motion.frames = 4;
  bool differs = false;
  for (int64_t i = 0; i < source.motion.paths; ++i) {
    const MotionPath path = generate::PathOf(source, i, {100, 60}, {16, 12}, 9);
    for (const Window& w : {path.from, path.to}) {
      EXPECT_GE(w.x, 0);
      EXPECT_GE(w.y, 0);
      EXPECT_LE(w.x + w.width, 256 * 100);
      EXPECT_LE(w.y + w.height, 256 * 60);
      EXPECT_GE(w.width, 256 * 80 * 3 / 10);  // the largest window is 80 x 60
      EXPECT_LE(w.width, 256 * 80 * 7 / 10);
    }
    differs |= path.from != path.to;
    EXPECT_EQ(generate::PathOf(source, i, {100, 60}, {16, 12}, 9).to, path.to);
    EXPECT_NE(generate::PathOf(source, i, {100, 60}, {16, 12}, 8).from, path.from);
  }
  EXPECT_TRUE(differs);
}

class Photographs : public ::testing::Test {
 protected:
  Photographs() {
    WritePng(folder / "a.png", Ramp(20, 10));
    WritePng(folder / "b.png", Ramp(24, 12));
  }
  RunResult Import(const std::string& yaml, const std::string& output = "clips.h5",
                   const std::vector<std::string>& files = {"a.png"}, const Options& more = {},
                   const std::string& stop_at = {}) {
    const std::string config = folder / "c.yaml";
    std::FILE* file = std::fopen(config.c_str(), "w");
    std::fputs(("clip_frames: 3\nwidth: 4\nheight: 3\nsources:\n" + yaml).c_str(), file);
    std::fclose(file);
    Options options = more;
    options.config_files = {config};
    Arguments arguments{{"output", {folder / output}}};
    for (const std::string& name : files) arguments["sources"].push_back(folder / name);
    return Generate("import", arguments, options, stop_at);
  }
  std::string Digest(const std::string& name) { return ContentDigest(folder / name); }
  TempFolder folder;
};

TEST_F(Photographs, HaveTheirLabelsAmongTheClassesThatAreNamed) {
  const std::string one = "  - {file: a.png, split: train, motion: {frames: 3, paths: 1}}\n";
  ASSERT_EQ(Import(one + "classes: [z, b, a]\n").code, 0);
  const ClipDataset data = ClipDataset::Read(folder / "clips.h5");
  EXPECT_EQ(data.classes(), (std::vector<std::string>{"z", "b", "a"}));
  EXPECT_EQ(data.sources()[0].label, 2);
  const RunResult unknown = Import(one + "classes: [z, b]\n", "x.h5");
  EXPECT_EQ(unknown.code, 2);
  EXPECT_NE(unknown.err.find("label 'a': none of the classes, which are z, b"), std::string::npos)
      << unknown.err;
  const RunResult twice = Import(one + "classes: [a, b, a]\n", "x.h5");
  EXPECT_EQ(twice.code, 2);
  EXPECT_NE(twice.err.find("'a' is named twice"), std::string::npos) << twice.err;
}

TEST_F(Photographs, BecomeClipsByTheGivenPath) {
  ASSERT_EQ(Import("  - {file: a.png, split: train, motion: {frames: 3, from: [0, 0, 8, 6], "
                   "to: [8, 4, 8, 6]}}\n")
                .code,
            0);
  const ClipDataset data = ClipDataset::Read(folder / "clips.h5");
  ASSERT_EQ(data.sources().size(), 1u);
  const auto bytes = data.sources()[0].frames.values<uint8_t>();
  ASSERT_EQ(bytes.size(), 3u * 3 * 4 * 3);
  // Cells of 2x2 pixels: red 5, then 5 + 10 (4 frames' pixels) and 5 + 80; green 10, 50, 90.
  EXPECT_EQ(bytes[0], 5);
  EXPECT_EQ(bytes[1], 10);
  EXPECT_EQ(bytes[2], 100);
  EXPECT_EQ(bytes[36], 45);
  EXPECT_EQ(bytes[37], 50);
  EXPECT_EQ(bytes[72], 85);
  EXPECT_EQ(bytes[73], 90);
  EXPECT_EQ(data.sources()[0].held_out.size(), 0);
}

TEST_F(Photographs, HaveASourceForEachEntryOfAFile) {
  ASSERT_EQ(Import("  - {file: a.png, label: left, split: train, motion: {frames: 3, "
                   "from: [0, 0, 4, 3], to: [0, 0, 4, 3]}}\n"
                   "  - {file: a.png, label: right, split: train, motion: {frames: 3, "
                   "from: [16, 7, 4, 3], to: [16, 7, 4, 3]}}\n")
                .code,
            0);
  const ClipDataset data = ClipDataset::Read(folder / "clips.h5");
  EXPECT_EQ(data.classes(), (std::vector<std::string>{"left", "right"}));
  ASSERT_EQ(data.sources().size(), 2u);
  EXPECT_EQ(data.sources()[0].frames.values<uint8_t>()[0], 0);
  EXPECT_EQ(data.sources()[1].frames.values<uint8_t>()[0], 160);
}

const char kTwo[] =
    "  - {file: a.png, label: l, split: train, motion: {frames: 4, paths: 3}}\n"
    "  - {file: b.png, label: l, split: held_out, motion: {frames: 4, paths: 2, seed: 5}}\n";

TEST_F(Photographs, AreHeldOutAsAWholeAndComeOutTheSameTwice) {
  ASSERT_EQ(Import(kTwo, "one.h5", {"a.png", "b.png"}).code, 0);
  ASSERT_EQ(Import(kTwo, "two.h5", {"a.png", "b.png"}).code, 0);
  EXPECT_EQ(Digest("one.h5"), Digest("two.h5"));
  const ClipDataset data = ClipDataset::Read(folder / "one.h5");
  ASSERT_EQ(data.sources().size(), 5u);
  for (const ClipSource& source : data.sources()) {
    const bool held_out = source.name.starts_with("b.png#");
    EXPECT_EQ(source.train.size(), held_out ? 0 : 4) << source.name;
    EXPECT_EQ(source.held_out.size(), held_out ? 4 : 0) << source.name;
  }
}

TEST_F(Photographs, GoOnAfterAStop) {
  ASSERT_EQ(Import(kTwo, "whole.h5", {"a.png", "b.png"}).code, 0);
  Options options;
  options.resume = true;
  ASSERT_EQ(Import(kTwo, "cut.h5", {"a.png", "b.png"}, options, "a.png").code, 75);
  ASSERT_EQ(Import(kTwo, "cut.h5", {"a.png", "b.png"}, options).code, 0);
  EXPECT_EQ(Digest("cut.h5"), Digest("whole.h5"));
}

TEST_F(Photographs, AreRefusedByName) {
  const auto refused = [&](const std::string& yaml, const std::string& reason) {
    const RunResult result = Import(yaml);
    EXPECT_EQ(result.code, 2) << yaml << result.err;
    EXPECT_NE(result.err.find(reason), std::string::npos) << reason << ": " << result.err;
  };
  const std::string train = "  - {file: a.png, split: train, motion: ";
  refused(train + "{frames: 3, from: [0, 0, 8, 6], to: [13, 4, 8, 6]}}\n",
          "a.png: motion.to: [13, 4, 8, 6] leaves the picture, [0, 0, 20, 10] is there");
  refused(train + "{frames: 3, from: [0, 0, 3, 2], to: [0, 0, 8, 6]}}\n",
          "motion.from: 3x2 pixels");
  refused(train + "{frames: 3, from: [0, 0, 8, 9], to: [0, 0, 8, 6]}}\n", "the shape of 4x3");
  refused(train + "{frames: 3}}\n", "neither from, to nor paths");
  refused(train + "{frames: 3, paths: 1, from: [0, 0, 8, 6], to: [0, 0, 8, 6]}}\n",
          "both from, to");
  refused(train + "{paths: 2}}\n", "motion.frames: 0");
  refused(train + "{frames: 3, paths: 2, scale: [0.1, 0.2]}}\n", "motion.scale: at most 2 columns");
  refused("  - {file: a.png, motion: {frames: 3, paths: 2}}\n", "split: both");
  refused(train +
              "{frames: 3, paths: 2}}\n  - {file: a.png, split: held_out, motion: {frames: 3, "
              "paths: 2, seed: 1}}\n",
          "its frames would be in both splits");
  refused("  - {file: a.png}\n  - {file: a.png, stride: 2}\n",
          "their splits by time would overlap");
  refused("  - {file: a.png, split: train, crop: [0, 0, 30, 6], motion: {frames: 3, paths: 1}}\n",
          "crop: [0, 0, 30, 6] is not within its 20x10 pixels");
}

}  // namespace
}  // namespace suffice::testing
