// SPDX-License-Identifier: Apache-2.0
#include "lib/generate/inspect.h"

#include <nlohmann/json.hpp>

#include "lib/base/digest.h"
#include "lib/io/npy.h"
#include "lib/io/safetensors.h"
#include "tests/io/io_testing.h"

namespace suffice::generate {
namespace {

std::string BytesDigest(const HostArray& array) {
  Sha256 hash;
  hash.Update(array.data(), array.bytes());
  return Hex(hash.Finish());
}

TEST(Inspect, SaysWhatATensorFileIs) {
  const TempFolder folder;
  const std::string path = folder / "a.h5";
  WriteExample(path);
  const InspectReport report = Inspect(path);
  EXPECT_EQ(report.format, "suffice-tensor");
  EXPECT_EQ(report.content_digest, ContentDigest(path));
  EXPECT_EQ(std::get<std::string>(report.attributes.at("/contract").at("rule")), "hybrid");
  EXPECT_FALSE(report.attributes.contains("/")) << "the header says it already";
  const std::string text = ToText(report);
  EXPECT_NE(text.find("encoding-type   model\n"), std::string::npos) << text;
  EXPECT_NE(text.find("content digest  " + report.content_digest), std::string::npos) << text;
  EXPECT_NE(text.find("seed            7\n"), std::string::npos) << text;
  EXPECT_NE(text.find("  model:\n    width: 64\n"), std::string::npos) << text;
  EXPECT_NE(text.find("/contract\n  blocks: [128, 64]\n"), std::string::npos) << text;

  const auto json = nlohmann::json::parse(ToJson(report));
  EXPECT_EQ(json["header"]["inputs"]["data"], std::string(64, 'a'));
  EXPECT_EQ(json["attributes"]["/contract"]["k"], 0.125);
  bool found = false;
  for (const auto& tensor : json["tensors"]) {
    if (tensor["name"] != "/blocks/0/q") continue;
    found = true;
    EXPECT_EQ(tensor["type"], "bf16");
    EXPECT_EQ(tensor["shape"], (std::vector<int>{300, 128}));
    EXPECT_EQ(tensor["storage"], "mapped");
    EXPECT_EQ(tensor["sha256"], BytesDigest(RandomArray(DType::kBF16, {300, 128}, 20)));
  }
  EXPECT_TRUE(found);
}

TEST(Inspect, ShowsTheRunAndKeepsTheTerminalSafe) {
  const TempFolder folder;
  const std::string path = folder / "a.h5";
  {
    TensorWriter writer(path, ExampleHeader());
    writer.Attribute("/run", "host", std::string("a\x1b[31mb"));
    writer.Attribute("/run", "history", std::vector<std::string>{"one", "two"});
    writer.Dataset("/run/seconds", RandomArray(DType::kF64, {2}, 1));
    writer.Commit();
  }
  const std::string text = ToText(Inspect(path));
  EXPECT_NE(text.find("/run\n  history: [one, two]\n  host: a\\x1b[31mb\n"), std::string::npos)
      << text;
  EXPECT_NE(text.find(BytesDigest(RandomArray(DType::kF64, {2}, 1))), std::string::npos) << text;
}

TEST(Inspect, SaysWhatForeignFilesAre) {
  const TempFolder folder;
  const HostArray array = RandomArray(DType::kF32, {2, 3}, 1);
  WriteNpy(folder / "a.npy", array);
  const InspectReport npy = Inspect(folder / "a.npy");
  EXPECT_EQ(npy.format, "npy");
  EXPECT_EQ(npy.tensors.at(0).digest, BytesDigest(array));
  EXPECT_EQ(npy.content_digest, Hex(Sha256OfFile(folder / "a.npy")));
  {
    SafetensorsWriter writer(folder / "w", {{"x", DType::kF32, {2, 3}}}, {{"format", "pt"}});
    writer.Write("x", array);
    writer.Commit();
  }
  const InspectReport weights = Inspect(folder / "w");
  EXPECT_EQ(weights.format, "safetensors");
  EXPECT_EQ(weights.metadata.at("format"), "pt");
  EXPECT_EQ(weights.tensors.at(0).digest, BytesDigest(array));
  EXPECT_EQ(nlohmann::json::parse(ToJson(weights))["tensors"][0]["type"], "F32");
  EXPECT_NE(ToText(weights).find("metadata        format: pt\n"), std::string::npos);
}

TEST(Inspect, RefusesTheRest) {
  const TempFolder folder;
  WriteBytes(folder / "t", "just text, and no tensors\n");
  EXPECT_EQ(MessageOf(ExitCode::kData, [&] { Inspect(folder / "t"); }),
            (folder / "t") + ": neither a tensor file (HDF5) nor safetensors nor npy");
  MessageOf(ExitCode::kData, [&] { Inspect(folder / "absent"); });
  MessageOf(ExitCode::kData, [&] { Inspect(folder.path().string()); });
}

}  // namespace
}  // namespace suffice::generate
