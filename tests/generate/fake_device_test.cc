// SPDX-License-Identifier: Apache-2.0
// The verbs that run a model where the host cannot read device memory.
#include "tests/kernels/fake_device.h"

#include "tests/generate/generate_testing.h"

namespace suffice::testing {
namespace {

std::map<std::string, std::string> DatasetDigests(const std::string& path) {
  std::map<std::string, std::string> digests;
  const TensorReader file(path);
  for (const DatasetInfo& info : file.datasets()) {
    if (info.path != "/seconds") digests[info.path] = DatasetDigest(file, info);
  }
  return digests;
}

TEST(FakeDeviceVerbs, WriteTheBitsOfRef) {
  FakeDevice();
  const Scenario place;
  const auto run = [&](const std::string& verb, const std::string& backend, Arguments arguments,
                       const std::vector<std::string>& sets) {
    const std::string output = place / (verb + "-" + backend + ".h5");
    Options options = Set(sets);
    options.context.backend = backend;
    arguments["model"] = {place / "sparse.h5"};
    arguments["output"] = {output};
    const RunResult result = Generate(verb, arguments, options);
    EXPECT_EQ(result.code, 0) << result.err;
    return DatasetDigests(output);
  };
  const Arguments data{{"data", {place / "clips.h5"}}};
  const Arguments compared{{"data", {place / "clips.h5"}}, {"reference", {place / "dense.h5"}}};
  for (const auto& [verb, arguments, sets] :
       {std::tuple{"capture", data, std::vector<std::string>{"draws=1", "heads=[1]"}},
        std::tuple{"evaluate", compared, std::vector<std::string>{"units=2"}},
        std::tuple{"sample", Arguments{}, std::vector<std::string>{"steps=2", "guidance=2"}}}) {
    EXPECT_EQ(run(verb, "fake", arguments, sets), run(verb, "ref", arguments, sets)) << verb;
  }
}

}  // namespace
}  // namespace suffice::testing
