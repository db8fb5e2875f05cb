// SPDX-License-Identifier: Apache-2.0
// export, inspect and import of tensors.
#include <nlohmann/json.hpp>

#include "lib/io/ffmpeg.h"
#include "lib/io/image.h"
#include "lib/io/npy.h"
#include "lib/io/safetensors.h"
#include "tests/generate/generate_testing.h"

namespace suffice::testing {
namespace {

// Three samples of 2 frames of 6x4: pixel (n, c, f, y, x) is a known byte.
uint8_t ByteAt(int64_t n, int64_t c, int64_t f, int64_t y, int64_t x) {
  return static_cast<uint8_t>(60 * n + 20 * c + 9 * f + 3 * y + x);
}

class Samples {
 public:
  Samples() {
    HostArray video(DType::kF32, {3, 3, 2, 4, 6});
    auto out = video.values<float>().begin();
    for (int64_t n = 0; n < 3; ++n) {
      for (int64_t c = 0; c < 3; ++c) {
        for (int64_t f = 0; f < 2; ++f) {
          for (int64_t y = 0; y < 4; ++y) {
            for (int64_t x = 0; x < 6; ++x)
              *out++ = static_cast<float>(ByteAt(n, c, f, y, x)) / 127.5f - 1.0f;
          }
        }
      }
    }
    FileHeader header;
    header.encoding_type = EncodingType::kSamples;
    TensorWriter writer(folder / "samples.h5", header);
    writer.Dataset("/video", video);
    writer.Attribute("/", "fps", 12.5);
    writer.Commit();
  }
  RunResult Export(const std::string& input, const std::string& output,
                   const std::vector<std::string>& sets = {}) const {
    return Generate("export", {{"file", {folder / input}}, {"output", {folder / output}}},
                    Set(sets));
  }
  TempFolder folder;
};

uint8_t PixelAt(const Picture& picture, int64_t y, int64_t x, int64_t c) {
  return picture.pixels[static_cast<size_t>((y * picture.width + x) * 3 + c)];
}

TEST(Export, MakesAContactSheetWithARowForEachSample) {
  const Samples samples;
  ASSERT_EQ(samples.Export("samples.h5", "sheet.png").code, 0);
  const Picture sheet = ReadPicture(samples.folder / "sheet.png", 3);
  ASSERT_EQ(sheet.width, 12);
  ASSERT_EQ(sheet.height, 12);
  for (int64_t n = 0; n < 3; ++n) {
    for (int64_t f = 0; f < 2; ++f) {
      EXPECT_EQ(PixelAt(sheet, 4 * n + 3, 6 * f + 5, 2), ByteAt(n, 2, f, 3, 5)) << n << " " << f;
    }
  }
  EXPECT_EQ(samples.Export("samples.h5", "sheet.png").code, 2) << "exists";
  EXPECT_EQ(samples.Export("samples.h5", "some.png", {"videos=[2]", "columns=1"}).code, 0);
  const Picture some = ReadPicture(samples.folder / "some.png", 3);
  EXPECT_EQ(some.width, 6);
  EXPECT_EQ(PixelAt(some, 0, 0, 0), ByteAt(2, 0, 0, 0, 0));
  EXPECT_EQ(samples.Export("samples.h5", "none.png", {"videos=[3]"}).code, 2);
}

TEST(Export, MakesAFolderOfFramesWithTheSamplesInAGrid) {
  const Samples samples;
  ASSERT_EQ(samples.Export("samples.h5", "frames").code, 0);
  const Picture frame = ReadPicture(samples.folder / "frames/frame-00001.png", 3);
  ASSERT_EQ(frame.width, 12);
  ASSERT_EQ(frame.height, 8);
  EXPECT_EQ(PixelAt(frame, 2, 7, 1), ByteAt(1, 1, 1, 2, 1));
  EXPECT_EQ(PixelAt(frame, 5, 1, 1), ByteAt(2, 1, 1, 1, 1));
  EXPECT_EQ(PixelAt(frame, 5, 7, 1), 0) << "black where there is no sample";
  EXPECT_FALSE(std::filesystem::exists(samples.folder / "frames/frame-00002.png"));
  EXPECT_EQ(samples.Export("samples.h5", "frames").code, 2);
  for (const auto& entry : std::filesystem::directory_iterator(samples.folder.path()))
    EXPECT_FALSE(entry.path().filename().string().starts_with(".")) << "a temporary was left";
}

TEST(Export, MakesVideos) {
  const Samples samples;
  ASSERT_EQ(samples.Export("samples.h5", "v.y4m").code, 0);
  EXPECT_TRUE(ReadBytes(samples.folder / "v.y4m").starts_with("YUV4MPEG2 W12 H8 F12500:1000 "))
      << ReadBytes(samples.folder / "v.y4m").substr(0, 60);
  ASSERT_EQ(samples.Export("samples.h5", "v.mp4", {"crf=0"}).code, 0);
  VideoReader reader(samples.folder / "v.mp4", {});
  int frames = 0;
  while (const auto picture = reader.Next()) {
    EXPECT_EQ(picture->width, 12);
    EXPECT_NEAR(PixelAt(*picture, 1, 1, 1), ByteAt(0, 1, frames, 1, 1), 12);
    ++frames;
  }
  EXPECT_EQ(frames, 2);
}

TEST(Export, MakesSafetensorsThatComeBack) {
  const Scenario place;
  ASSERT_EQ(Generate("capture",
                     {{"model", {place / "dense.h5"}},
                      {"data", {place / "clips.h5"}},
                      {"output", {place / "qkv.h5"}}},
                     Set({"draws=1"}))
                .code,
            0);
  const auto exported = [&](const std::string& input, const std::string& output,
                            const std::vector<std::string>& sets = {}) {
    return Generate("export", {{"file", {place / input}}, {"output", {place / output}}}, Set(sets))
        .code;
  };
  ASSERT_EQ(exported("sparse.h5", "sparse.safetensors"), 0);
  const SafetensorsReader weights(place / "sparse.safetensors");
  EXPECT_EQ(weights.tensors().size(), place.weights.size());
  for (const NamedArray& named : place.weights)
    EXPECT_TRUE(SameBits(weights.Read(named.name), named.array)) << named.name;
  EXPECT_EQ(weights.metadata().at("content-digest"), ContentDigest(place / "sparse.h5"));
  EXPECT_NE(weights.metadata().at("contract").find("quarter"), std::string::npos);

  ASSERT_EQ(exported("qkv.h5", "qkv.safetensors"), 0);
  ASSERT_EQ(Generate("import",
                     {{"sources", {place / "qkv.safetensors"}}, {"output", {place / "back.h5"}}},
                     Set({"grid=[4, 8, 8]"}))
                .code,
            0);
  const TensorReader original(place / "qkv.h5"), back(place / "back.h5", EncodingType::kCapture);
  for (const char* name : {"/layers/0/q", "/layers/1/v"})
    EXPECT_TRUE(SameBits(original.Read(name), back.Read(name))) << name;
  EXPECT_EQ(back.IntListAttribute("/", "grid"), (std::vector<int64_t>{4, 8, 8}));

  for (const std::string name : {"q", "k", "v"})
    ASSERT_EQ(exported("qkv.h5", name + ".npy", {"dataset=/layers/1/" + name}), 0);
  EXPECT_EQ(ReadNpy(place / "q.npy").dtype(), DType::kF32);
  ASSERT_EQ(Generate("import",
                     {{"sources", {place / "q.npy", place / "k.npy", place / "v.npy"}},
                      {"output", {place / "npy.h5"}}},
                     Set({"as=bf16"}))
                .code,
            0);
  EXPECT_TRUE(SameBits(TensorReader(place / "npy.h5").Read("/v"), original.Read("/layers/1/v")));
  const RunResult attend =
      RunTool(sparsify::Verbs(), "attend",
              {{"qkv", {place / "npy.h5"}}, {"output", {place / "attended.h5"}}}, Set({"k=0.5"}));
  EXPECT_EQ(attend.code, 0) << attend.err;
}

TEST(Export, RefusesWhatItCannotMake) {
  const Scenario place;
  const auto code = [&](const std::string& input, const std::string& output,
                        const std::vector<std::string>& sets = {}) {
    return Generate("export", {{"file", {place / input}}, {"output", {place / output}}}, Set(sets))
        .code;
  };
  EXPECT_EQ(code("dense.h5", "a.png"), 3) << "no videos in a model";
  EXPECT_EQ(code("dense.h5", "a.gif"), 2);
  EXPECT_EQ(code("dense.h5", "a.npy"), 2) << "which dataset?";
  EXPECT_EQ(code("dense.h5", "a.npy", {"dataset=/nothing"}), 3);
  EXPECT_EQ(code("clips.h5", "clips.png"), 0);
  EXPECT_EQ(ReadPicture(place / "clips.png", 3).height, 72);
}

TEST(Import, RefusesForeignAndMixedFiles) {
  const Scenario place;
  WriteBytes(place / "bad.mp4", std::string(5000, 'x'));
  WriteNpy(place / "q.npy", HostArray(DType::kF32, {2, 2}));
  const auto import = [&](const std::vector<std::string>& names,
                          const std::vector<std::string>& sets = {}) {
    Arguments arguments{{"output", {place / "out.h5"}}};
    for (const std::string& name : names) arguments["sources"].push_back(place / name);
    return Generate("import", arguments, Set(sets));
  };
  const RunResult bad = import({"bad.mp4"});
  EXPECT_EQ(bad.code, 3);
  EXPECT_NE(bad.err.find("bad.mp4"), std::string::npos) << bad.err;
  EXPECT_EQ(import({"q.npy", "bad.mp4"}).code, 2);
  EXPECT_EQ(import({"q.npy", "q.npy"}).code, 3) << "one name twice";
  HostArray nan(DType::kF32, {2});
  nan.values<float>()[1] = std::nanf("");
  WriteNpy(place / "k.npy", nan);
  EXPECT_EQ(import({"k.npy"}).code, 3);
  EXPECT_FALSE(std::filesystem::exists(place / "out.h5"));
}

TEST(Import, TakesAFolderOfPicturesThatExportMade) {
  const Scenario place;
  ASSERT_EQ(Generate("export", {{"file", {place / "clips.h5"}}, {"output", {place / "cup"}}},
                     Set({"videos=[1]"}))
                .code,
            0);
  const RunResult run =
      Generate("import", {{"sources", {place / "cup"}}, {"output", {place / "back.h5"}}},
               Set({"clip_frames=4", "width=40", "height=36"}));
  ASSERT_EQ(run.code, 0) << run.err;
  const TensorReader back(place / "back.h5", EncodingType::kDataset);
  EXPECT_EQ(back.ReadStrings("/classes"), std::vector<std::string>{"cup"});
  EXPECT_TRUE(SameBits(back.Read("/sources/0/frames"),
                       TensorReader(place / "clips.h5").Read("/sources/1/frames")));
  EXPECT_EQ(back.header().inputs.at("sources"), ContentDigest(place / "cup"));
  WriteBytes(place / "cup/frame-00003.png", "other");
  EXPECT_NE(back.header().inputs.at("sources"), ContentDigest(place / "cup"));
}

TEST(InspectVerb, PrintsTextOrJson) {
  const Scenario place;
  const RunResult text = Generate("inspect", {{"file", {place / "sparse.h5"}}});
  EXPECT_EQ(text.code, 0);
  EXPECT_NE(text.out.find(ContentDigest(place / "sparse.h5")), std::string::npos);
  Options options;
  options.json = true;
  const RunResult json = Generate("inspect", {{"file", {place / "sparse.h5"}}}, options);
  EXPECT_EQ(nlohmann::json::parse(json.out)["format"], "suffice-tensor");
}

}  // namespace
}  // namespace suffice::testing
