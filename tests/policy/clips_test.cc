// SPDX-License-Identifier: Apache-2.0
#include "lib/policy/clips.h"

#include <gtest/gtest.h>

#include <set>
#include <tuple>

#include "lib/base/error.h"
#include "tests/io/io_testing.h"

namespace suffice {
namespace {

ClipDataset Made(int64_t gap) {
  std::vector<ClipSource> sources(2);
  for (size_t n = 0; n < 2; ++n) {
    ClipSource& s = sources[n];
    s.name = n == 0 ? "a" : "b";
    s.label = static_cast<int64_t>(n);
    s.fps = 10;
    s.train = {0, 20};
    s.held_out = {20 + gap, 30 + gap};
    s.frames = HostArray(DType::kU8, {40, 6, 8, 3});
    auto value = static_cast<uint8_t>(n);
    for (uint8_t& x : s.frames.values<uint8_t>()) x = value = static_cast<uint8_t>(value * 5 + 1);
  }
  return {{"x", "y"}, std::move(sources), 4};
}

// Writes to a folder that goes with the process: tests run side by side.
std::string Written(const ClipDataset& data) {
  static const TempFolder folder;
  const std::string path = folder / "clips.h5";
  FileHeader header;
  header.encoding_type = EncodingType::kDataset;
  TensorWriter writer(path, header, {.force = true});
  data.Write(&writer);
  writer.Commit();
  return path;
}

TEST(Clips, SurviveTheFile) {
  const ClipDataset data = Made(4);
  const ClipDataset again = ClipDataset::Read(Written(data));
  EXPECT_EQ(again.classes(), data.classes());
  ASSERT_EQ(again.sources().size(), 2u);
  EXPECT_EQ(again.sources()[1].held_out.begin, 24);
  const ClipShape shape{4, 6, 8};
  const ClipDraw draw = data.Draw(shape, true, false, 7, 3);
  const HostArray a = data.Clip(draw, shape), b = again.Clip(draw, shape);
  for (size_t i = 0; i < a.values<float>().size(); ++i) {
    EXPECT_EQ(a.values<float>()[i], b.values<float>()[i]);
  }
}

TEST(Clips, AGapSmallerThanAClipIsRefused) {
  EXPECT_THROW(ClipDataset::Read(Written(Made(3))), Error);
}

TEST(Clips, DrawsStayInTheirSplitAndCoverIt) {
  const ClipDataset data = Made(4);
  const ClipShape shape{4, 4, 4};
  std::set<std::tuple<int, int, int, int, bool>> seen;
  for (uint64_t i = 0; i < 4000; ++i) {
    const ClipDraw train = data.Draw(shape, false, true, 5, i);
    EXPECT_GE(train.start, 0);
    EXPECT_LE(train.start + 4, 20);
    const ClipDraw held = data.Draw(shape, true, false, 5, i);
    EXPECT_GE(held.start, 24);
    EXPECT_LE(held.start + 4, 34);
    EXPECT_FALSE(held.flip);
    EXPECT_LE(held.y + 4, 6);
    EXPECT_LE(held.x + 4, 8);
    seen.insert({held.source, held.start, held.y, held.x, held.flip});
  }
  EXPECT_EQ(seen.size(), 2u * 7 * 3 * 5);
}

TEST(Clips, ValuesAndFlips) {
  const ClipDataset data = Made(4);
  const ClipShape shape{1, 6, 8};
  ClipDraw draw;
  draw.start = 2;
  const HostArray plain = data.Clip(draw, shape);
  draw.flip = true;
  const HostArray flipped = data.Clip(draw, shape);
  const auto pixel = data.sources()[0].frames.values<uint8_t>()[((2 * 6 + 1) * 8 + 3) * 3 + 2];
  const size_t blue = 2 * 6 * 8, row = 8;
  EXPECT_EQ(plain.values<float>()[blue + row + 3], static_cast<float>(pixel) / 127.5f - 1.0f);
  EXPECT_EQ(flipped.values<float>()[blue + row + 4], plain.values<float>()[blue + row + 3]);
}

TEST(Clips, ShapesThatDoNotFitAreNamed) {
  const ClipDataset data = Made(4);
  EXPECT_THROW(data.RequireShape({5, 4, 4}, false, "d.h5"), Error);
  EXPECT_THROW(data.RequireShape({4, 7, 4}, false, "d.h5"), Error);
  data.RequireShape({4, 6, 8}, true, "d.h5");
}

}  // namespace
}  // namespace suffice
