// SPDX-License-Identifier: Apache-2.0
#include "lib/io/tensor_file.h"

#include <atomic>
#include <cmath>
#include <cstring>
#include <limits>
#include <set>
#include <thread>

#include "tests/io/io_testing.h"

namespace suffice {
namespace {

bool Same(const HostArray& a, const HostArray& b) {
  return a.dtype() == b.dtype() && a.shape() == b.shape() &&
         std::equal(a.data(), a.data() + a.bytes(), b.data());
}

TEST(TensorFile, ReadsBackWhatWasWritten) {
  const TempFolder folder;
  WriteExample(folder / "a.h5");
  const TensorReader reader(folder / "a.h5", EncodingType::kModel);
  EXPECT_EQ(reader.header().config, ExampleHeader().config);
  EXPECT_EQ(reader.header().inputs, ExampleHeader().inputs);
  EXPECT_EQ(reader.header().seed, 7);
  EXPECT_EQ(reader.header().backend, "ref");
  EXPECT_EQ(reader.header().encoding_version, "1.0");
  uint32_t stream = 0;
  for (const DType dtype :
       {DType::kF32, DType::kF64, DType::kF16, DType::kBF16, DType::kI8, DType::kI16, DType::kI32,
        DType::kI64, DType::kU8, DType::kU16, DType::kU32, DType::kU64}) {
    const std::string path = "/types/" + std::string(NameOf(dtype));
    EXPECT_TRUE(Same(reader.Read(path), RandomArray(dtype, {5, 7}, ++stream))) << path;
    EXPECT_EQ(reader.Info(path).type, NameOf(dtype));
  }
  EXPECT_TRUE(Same(reader.Read("/blocks/0/mask"), RandomArray(DType::kU8, {300, 33}, 21)));
  EXPECT_TRUE(Same(reader.Read("/scalar"), RandomArray(DType::kF32, {}, 23)));
  EXPECT_EQ(reader.Read("/empty").shape(), Shape({0, 8}));
  EXPECT_EQ(reader.Info("/blocks/1/fp8").type, "f8_e4m3fn");
  EXPECT_EQ(reader.Info("/blocks/0/q").dims, (std::vector<std::string>{"rows", "D"}));
  EXPECT_EQ(reader.ReadStrings("/classes"),
            (std::vector<std::string>{"box", "", "tasse \xC3\xA0 th\xC3\xA9"}));
  EXPECT_EQ(reader.members("/blocks"), (std::vector<std::string>{"0", "1"}));
  EXPECT_EQ(reader.members("/blocks/0"), (std::vector<std::string>{"mask", "q"}));
  EXPECT_EQ(reader.datasets("/blocks").size(), 3u);
  EXPECT_TRUE(reader.HasGroup("/nothing"));
  EXPECT_FALSE(reader.Has("/nothing"));
}

TEST(TensorFile, ReadsBackAttributes) {
  const TempFolder folder;
  WriteExample(folder / "a.h5");
  const TensorReader reader(folder / "a.h5");
  EXPECT_EQ(reader.StringAttribute("/contract", "rule"), "hybrid");
  EXPECT_EQ(reader.StringAttribute("/contract", "empty"), "");
  EXPECT_EQ(reader.StringAttribute("/contract", "long"), std::string(100000, 'x'));
  EXPECT_EQ(reader.IntAttribute("/contract", "n11"), 11);
  EXPECT_EQ(reader.FloatAttribute("/contract", "n11"), 11.0);
  EXPECT_EQ(reader.FloatAttribute("/contract", "k"), 0.125);
  EXPECT_EQ(reader.IntListAttribute("/contract", "blocks"), (std::vector<int64_t>{128, 64}));
  EXPECT_EQ(reader.FloatListAttribute("/contract", "p"), (std::vector<double>{0.5, 0.9}));
  EXPECT_EQ(reader.StringListAttribute("/contract", "none"), std::vector<std::string>());
  EXPECT_EQ(reader.StringListAttribute("/contract", "names")->at(2), "tasse \xC3\xA0 th\xC3\xA9");
  EXPECT_FALSE(reader.IntAttribute("/contract", "absent").has_value());
  EXPECT_FALSE(reader.IntAttribute("/absent", "n11").has_value());
  EXPECT_EQ(MessageOf(ExitCode::kData, [&] { reader.IntAttribute("/contract", "rule"); }),
            reader.path() + ": /contract@rule: is not an integer");
}

TEST(TensorFile, ReadsRowsOfEitherStorage) {
  const TempFolder folder;
  WriteExample(folder / "a.h5");
  const TensorReader reader(folder / "a.h5");
  const HostArray whole = RandomArray(DType::kBF16, {300, 128}, 20);
  const HostArray rows = reader.ReadRows("/blocks/0/q", 17, 40);
  ASSERT_EQ(rows.shape(), Shape({23, 128}));
  EXPECT_TRUE(std::equal(rows.data(), rows.data() + rows.bytes(), whole.data() + 17 * 256));
  const HostArray streamed = reader.ReadRows("/streamed", 7, 14);
  EXPECT_TRUE(Same(streamed, RandomArray(DType::kI32, {7, 3}, 107)));
  EXPECT_EQ(reader.ReadRows("/empty", 0, 0).shape(), Shape({0, 8}));
}

TEST(TensorFile, MapsAlignedDatasetsAndReadsTheOthers) {
  const TempFolder folder;
  WriteExample(folder / "a.h5");
  const TensorReader reader(folder / "a.h5");
  const MappedArray q = reader.Map("/blocks/0/q");
  EXPECT_TRUE(q.mapped());
  EXPECT_EQ(reader.Info("/blocks/0/q").offset % 4096, 0u);
  const HostArray wanted = RandomArray(DType::kBF16, {300, 128}, 20);
  EXPECT_TRUE(std::equal(wanted.data(), wanted.data() + wanted.bytes(), q.data()));
  std::filesystem::remove(folder / "a.h5");
  EXPECT_TRUE(std::equal(wanted.data(), wanted.data() + wanted.bytes(), q.data()));
}

TEST(TensorFile, MapsPackedDatasetsFromMemory) {
  const TempFolder folder;
  WriteExample(folder / "a.h5");
  const TensorReader reader(folder / "a.h5");
  const MappedArray mask = reader.Map("/blocks/0/mask");
  EXPECT_FALSE(mask.mapped());
  const HostArray wanted = RandomArray(DType::kU8, {300, 33}, 21);
  EXPECT_TRUE(std::equal(wanted.data(), wanted.data() + wanted.bytes(), mask.data()));
}

TEST(TensorFile, MayBeReadFromSeveralThreads) {
  const TempFolder folder;
  WriteExample(folder / "a.h5");
  const TensorReader shared(folder / "a.h5");
  const HostArray wanted = RandomArray(DType::kU8, {300, 33}, 21);
  std::atomic<int> right = 0;
  std::vector<std::thread> threads;
  for (int worker = 0; worker < 4; ++worker) {
    threads.emplace_back([&] {
      for (int64_t row = 0; row < 100; ++row) {
        const HostArray one = shared.ReadRows("/blocks/0/mask", row, row + 1);
        right += std::equal(one.data(), one.data() + 33, wanted.data() + 33 * row);
      }
      const TensorReader own(folder / "a.h5");
      right += Same(own.Read("/blocks/0/mask"), wanted);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(right, 404);
}

TEST(TensorFile, SaysWhatWasFoundAndWhatWasWanted) {
  const TempFolder folder;
  const std::string path = folder / "w.h5";
  WriteExample(path);
  const TensorReader reader(path);
  reader.Require("/blocks/0/q", DType::kBF16, {300, 128});
  reader.Require("/blocks/0/q", DType::kBF16, {-1, 128});
  EXPECT_EQ(MessageOf(ExitCode::kData,
                      [&] {
                        reader.Require("/blocks/0/q", DType::kBF16, {64, 64});
                      }),
            path + ": /blocks/0/q: shape (300, 128), the config wants (64, 64)");
  EXPECT_EQ(MessageOf(ExitCode::kData,
                      [&] {
                        reader.Require("/blocks/0/q", DType::kF32, {300, 128}, "the model");
                      }),
            path + ": /blocks/0/q: type bf16, the model wants f32");
  EXPECT_EQ(MessageOf(ExitCode::kData, [&] { reader.Read("/blocks/0/k"); }),
            path + ": /blocks/0/k: is missing");
  EXPECT_EQ(MessageOf(ExitCode::kData, [&] { TensorReader(path, EncodingType::kMask); }),
            path + ": encoding-type model, wanted mask");
}

TEST(TensorFile, RefusesNaNAndInfinityWhereTheyDoNotBelong) {
  const TempFolder folder;
  const std::string path = folder / "n.h5";
  {
    TensorWriter writer(path, ExampleHeader());
    for (const float bad : {std::numeric_limits<float>::infinity(), std::nanf("")}) {
      HostArray array = RandomArray(DType::kF32, {4, 4}, 1);
      array.values<float>()[9] = bad;
      const std::string name = std::isnan(bad) ? "/nan" : "/inf";
      writer.Dataset(name, array);
      writer.Dataset(name + "16", array.Cast(DType::kBF16));
    }
    writer.Dataset("/fine", RandomArray(DType::kF64, {4, 4}, 1));
    writer.Commit();
  }
  const TensorReader reader(path);
  for (const std::string name : {"/nan", "/inf", "/nan16", "/inf16"}) {
    EXPECT_EQ(MessageOf(ExitCode::kData, [&] { reader.ReadFinite(name); }),
              path + ": " + name + ": element 9 is not finite");
  }
  reader.ReadFinite("/fine");
}

TEST(TensorFile, IsTheSameBytesEachTime) {
  const TempFolder folder;
  WriteExample(folder / "a.h5");
  const std::vector<char> disturb(1 << 20, 'z');  // what the heap held must not matter
  WriteExample(folder / "b.h5");
  EXPECT_EQ(ReadBytes(folder / "a.h5"), ReadBytes(folder / "b.h5"));
  EXPECT_EQ(ContentDigest(folder / "a.h5"), ContentDigest(folder / "b.h5"));
}

TEST(TensorFile, ContentDigestIgnoresTheRunAndSeesAllElse) {
  const TempFolder folder;
  int n = 0;
  const auto digest = [&](const auto& change) {
    const std::string path = folder / (std::to_string(n++) + ".h5");
    TensorWriter writer(path, ExampleHeader());
    writer.Dataset("/x", RandomArray(DType::kF32, {4}, 1));
    change(writer);
    writer.Commit();
    return ContentDigest(path);
  };
  const std::string plain = digest([](TensorWriter&) {});
  EXPECT_EQ(plain, digest([](TensorWriter& w) {
              w.Attribute("/run", "host", std::string("here"));
              w.Dataset("/run/times", RandomArray(DType::kF64, {3}, 5));
              w.Group("/receipt/0");
            }));
  std::set<std::string> seen = {plain};
  EXPECT_TRUE(seen.insert(digest([](TensorWriter& w) { w.Group("/runs"); })).second);
  EXPECT_TRUE(
      seen.insert(digest([](TensorWriter& w) { w.Attribute("/x", "unit", int64_t{1}); })).second);
  EXPECT_TRUE(seen.insert(digest([](TensorWriter& w) { w.Attribute("/x", "unit", 1.0); })).second);
  const HostArray y = RandomArray(DType::kF32, {4}, 2);
  EXPECT_TRUE(seen.insert(digest([&](TensorWriter& w) { w.Dataset("/y", y); })).second);
}

TEST(TensorFile, CannotBeReplacedWithoutForce) {
  const TempFolder folder;
  const std::string path = folder / "a.h5";
  WriteExample(path);
  const std::string before = ReadBytes(path);
  EXPECT_EQ(MessageOf(ExitCode::kUsage, [&] { WriteExample(path); }),
            path + ": already exists; --force replaces it");
  EXPECT_EQ(ReadBytes(path), before);
  WriteExample(path, 200, true);
  EXPECT_NE(ReadBytes(path), before);
}

TEST(TensorFile, LeavesNothingBehindWithoutCommit) {
  const TempFolder folder;
  {
    TensorWriter writer(folder / "a.h5", ExampleHeader());
    writer.Dataset("/x", RandomArray(DType::kF32, {1000, 100}, 1));
    RowStream rows = writer.OpenRows("/y", DType::kF32, {10, 10},
                                     {.storage = Storage::kPacked, .dims = {}, .dtype = {}});
    rows.Append(RandomArray(DType::kF32, {5, 10}, 1));
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

TEST(TensorFile, RowsCanBeReadBackBeforeTheFileIsWhole) {
  const TempFolder folder;
  for (const Storage storage : {Storage::kMapped, Storage::kPacked}) {
    for (const DType dtype : {DType::kF32, DType::kBF16}) {
      TensorWriter writer(folder / "a.h5", ExampleHeader(), {.force = true});
      const HostArray first = RandomArray(dtype, {5, 300}, 1),
                      second = RandomArray(dtype, {2, 300}, 2);
      RowStream rows =
          writer.OpenRows("/y", dtype, {7, 300}, {.storage = storage, .dims = {}, .dtype = {}});
      rows.Append(first);
      const HostArray back = rows.Read(1, 3);
      ASSERT_EQ(back.shape(), (Shape{3, 300}));
      EXPECT_EQ(std::memcmp(back.data(), first.data() + first.bytes() / 5, back.bytes()), 0);
      EXPECT_EQ(rows.Read(5, 0).shape()[0], 0);
      rows.Append(second);  // reading moves nothing
      rows.Close();
      writer.Commit();
      const HostArray all = TensorReader(folder / "a.h5").Read("/y");
      EXPECT_EQ(std::memcmp(all.data(), first.data(), first.bytes()), 0);
      EXPECT_EQ(std::memcmp(all.data() + first.bytes(), second.data(), second.bytes()), 0);
    }
  }
}

TEST(TensorFile, RefusesNamesThatItCouldNotReadBack) {
  const TempFolder folder;
  TensorWriter writer(folder / "a.h5", ExampleHeader());
  const HostArray x = RandomArray(DType::kF32, {1}, 1);
  const std::vector<std::string> bad = {"/a//b", "/..", "/a\n", "/\xFF",
                                        "/" + std::string(256, 'n')};
  for (const std::string& name : bad) {
    MessageOf(ExitCode::kFailed, [&] { writer.Dataset(name, x); });
  }
  MessageOf(ExitCode::kFailed, [&] { writer.Attribute("/", "a@b", int64_t{1}); });
  MessageOf(ExitCode::kFailed, [&] { writer.Attribute("/", "nul", std::string("a\0b", 3)); });
  MessageOf(ExitCode::kFailed, [&] { writer.Attribute("/", "bytes", std::string("\xC0\x80")); });
}

}  // namespace
}  // namespace suffice
