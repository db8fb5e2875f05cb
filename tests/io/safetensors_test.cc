// SPDX-License-Identifier: Apache-2.0
#include "lib/io/safetensors.h"

#include "tests/io/io_testing.h"

namespace suffice {
namespace {

std::string File(const std::string& header, size_t data_bytes) {
  std::string bytes(8, '\0');
  for (size_t i = 0; i < 8; ++i) bytes[i] = static_cast<char>(header.size() >> (8 * i));
  return bytes + header + std::string(data_bytes, '\x01');
}

TEST(Safetensors, ReadsBackWhatWasWritten) {
  const TempFolder folder;
  const std::map<std::string, HostArray> arrays = {
      {"b.weight", RandomArray(DType::kBF16, {3, 5}, 1)},
      {"a.weight", RandomArray(DType::kF32, {2, 2}, 2)},
      {"count", RandomArray(DType::kI64, {}, 3)},
      {"none", RandomArray(DType::kF32, {0, 4}, 4)},
      {"bytes", RandomArray(DType::kU8, {7}, 5)}};
  for (const std::string name : {"1", "2"}) {
    std::vector<SafetensorSpec> specs;
    for (const auto& [key, array] : arrays) specs.push_back({key, array.dtype(), array.shape()});
    SafetensorsWriter writer(folder / name, specs, {{"format", "pt"}, {"note", "tasse \xC3\xA0"}});
    for (const auto& [key, array] : arrays) writer.Write(key, array);
    writer.Commit();
  }
  EXPECT_EQ(ReadBytes(folder / "1"), ReadBytes(folder / "2"));
  EXPECT_EQ(ReadBytes(folder / "1")[0] % 8, 0) << "the header is padded";
  const SafetensorsReader reader(folder / "1");
  ASSERT_EQ(reader.tensors().size(), arrays.size());
  EXPECT_EQ(reader.metadata().at("note"), "tasse \xC3\xA0");
  for (const auto& [key, array] : arrays) {
    const HostArray found = reader.Read(key);
    EXPECT_EQ(found.dtype(), array.dtype()) << key;
    EXPECT_EQ(found.shape(), array.shape()) << key;
    EXPECT_TRUE(std::equal(array.data(), array.data() + array.bytes(), found.data())) << key;
  }
  EXPECT_EQ(reader.Info("count").begin % 8, 0u);
  EXPECT_FALSE(reader.Has("c"));
  EXPECT_EQ(MessageOf(ExitCode::kData, [&] { reader.Read("c"); }),
            (folder / "1") + ": c: is missing");
}

// Each is refused, and the message names the file and says why.
TEST(Safetensors, RefusesWhatIsNotQuiteOne) {
  const TempFolder folder;
  const std::string path = folder / "w.safetensors";
  const std::string x = R"("x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]})";
  struct Case {
    std::string bytes;
    std::string reason;
  };
  const std::vector<Case> cases = {
      {"", "too short"},
      {std::string(7, '\0'), "too short"},
      {std::string(8, '\0'), "not a safetensors file"},
      {std::string(8, '\xff') + "{}", "a header of 18446744073709551615 bytes"},
      {File("{}", 0).substr(0, 9), "a header of 2 bytes in a file of 9"},
      {File("[]", 0), "not a safetensors file"},
      {File(" {}", 0), "not a safetensors file"},
      {File("{", 0), "is not JSON"},
      {File("{} {}", 0), "is not JSON"},
      {File("{\"\xff\":1}", 0), "is not JSON"},
      {File("{" + x + "}", 7), "its data end past the file's end"},
      {File("{" + x + "}", 9), "1 bytes after the last tensor"},
      {File("{" + x + "," + x + "}", 8), "x: is there twice"},
      {File(R"({"x":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}})", 12),
       "a hole or an overlap"},
      {File("{" + x + R"(,"y":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}})", 8),
       "a hole or an overlap"},
      {File(R"({"x":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}})", 8), "do not fit F32 (3)"},
      {File(R"({"x":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}})", 8),
       "a hole or an overlap"},
      {File(R"({"x":{"dtype":"F4","shape":[2],"data_offsets":[0,1]}})", 1),
       "type 'F4' is none of ours"},
      {File(
           R"({"x":{"dtype":"F32","shape":[4294967296,4294967296,4294967296],"data_offsets":[0,0]}})",
           0),
       "overflows"},
      {File(R"({"x":{"dtype":"F32","shape":[0,18446744073709551615],"data_offsets":[0,0]}})", 0),
       "an extent is too large"},
      {File(R"({"x":{"dtype":"U8","shape":[1,1,1,1,1,1,1],"data_offsets":[0,1]}})", 1),
       "rank above 6"},
      {File(R"({"x":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}})", 8), "a negative number"},
      {File(R"({"x":{"dtype":"F32","shape":[2.0],"data_offsets":[0,8]}})", 8), "a fraction"},
      {File(R"({"x":{"dtype":"F32","shape":[[2]],"data_offsets":[0,8]}})", 8),
       "an array in the wrong place"},
      {File(R"({"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8,8]}})", 8),
       "more than two numbers"},
      {File(R"({"x":{"dtype":"F32","shape":[2],"data_offsets":[0]}})", 8),
       "fewer than two numbers"},
      {File(R"({"x":{"dtype":"F32","shape":[2]}})", 8), "lacks one of"},
      {File(R"({"x":{"dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 8),
       "'dtype' twice"},
      {File(R"({"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"strides":[1]}})", 8),
       "an unknown key 'strides'"},
      {File(R"({"x":[]})", 0), "an array in the wrong place"},
      {File(R"({"x":null})", 0), "a null"},
      {File(R"({"a/b":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", 1), "has a slash"},
      {File(R"({"..":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", 1), "made of dots"},
      {File(R"({"a\u0000b":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", 1),
       "a control character"},
      {File(R"({"__metadata__":{"a":1}})", 0), "a number in the wrong place"},
      {File(R"({"__metadata__":{"a":"1","a":"2"}})", 0), "'a' twice"},
      {File(R"({"__metadata__":{"a":{}}})", 0), "an object in the wrong place"},
      {File("{\"x\":" + std::string(100000, '['), 0), "an array in the wrong place"},
  };
  for (const Case& wrong : cases) {
    WriteBytes(path, wrong.bytes);
    const std::string message = MessageOf(ExitCode::kData, [&] { SafetensorsReader reader(path); });
    EXPECT_TRUE(message.starts_with(path + ": ")) << message;
    EXPECT_NE(message.find(wrong.reason), std::string::npos)
        << message << "\nwanted: " << wrong.reason;
  }
  MessageOf(ExitCode::kData, [&] { SafetensorsReader reader(folder / "absent"); });
  MessageOf(ExitCode::kData, [&] { SafetensorsReader reader(folder.path().string()); });
  WriteBytes(path, File("{}", 0));
  EXPECT_TRUE(SafetensorsReader(path).tensors().empty());
}

TEST(Safetensors, FindsShardsOnlyBesideTheirIndex) {
  const TempFolder folder;
  const std::string path = folder / "model.safetensors.index.json";
  WriteBytes(path, R"({"metadata":{},"weight_map":{"a":"one.safetensors","b":"two.safetensors"}})");
  const auto files = ReadSafetensorsIndex(path);
  EXPECT_EQ(files.at("a"), folder / "one.safetensors");
  EXPECT_EQ(files.at("b"), folder / "two.safetensors");
  for (const std::string wrong :
       {R"({"weight_map":{"a":"/etc/passwd"}})", R"({"weight_map":{"a":"../x"}})",
        R"({"weight_map":{"a":".."}})", R"({"weight_map":{"a":1}})", R"({"weight_map":[]})", "{}",
        "[]", "{"}) {
    WriteBytes(path, wrong);
    MessageOf(ExitCode::kData, [&] { ReadSafetensorsIndex(path); });
  }
}

}  // namespace
}  // namespace suffice
