// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "lib/distill/verbs.h"
#include "tests/generate/generate_testing.h"

namespace suffice::distill {
namespace {

class MergeTest : public ::testing::Test {
 protected:
  // dense.h5's weights, moved by amounts that depend on `step` and the place.
  std::vector<NamedArray> Moved(int step) const {
    std::vector<NamedArray> weights;
    for (const NamedArray& weight : place_.weights) {
      HostArray array = weight.array.Cast(DType::kF32);
      int at = 0;
      for (float& x : array.values<float>())
        x += 0.01F * static_cast<float>((at++ * step) % 13 - 6);
      weights.push_back({weight.name, std::move(array)});
    }
    return weights;
  }
  testing::RunResult Merge(const std::string& to, const std::string& output,
                           std::vector<std::string> sets) const {
    return testing::RunTool(Verbs(), "merge",
                            {{"model", {place_ / "sparse.h5"}},
                             {"from", {place_ / "a.h5"}},
                             {"to", {place_ / to}},
                             {"output", {place_ / output}}},
                            testing::Set(std::move(sets)));
  }

  testing::Scenario place_;
  std::vector<NamedArray> a_ = Moved(3), b_ = Moved(5);
};

TEST_F(MergeTest, AddsTheScaledDifferenceInFp32AndRoundsOnce) {
  place_.WriteModelFile("a.h5", testing::DenseInfo(), a_);
  place_.WriteModelFile("b.h5", testing::DenseInfo(), b_);
  ASSERT_EQ(Merge("b.h5", "f32.h5", {"scale=0.5", "stored=f32"}).code, 0);
  ASSERT_EQ(Merge("b.h5", "bf16.h5", {"scale=0.5"}).code, 0);
  const TensorReader f32(place_ / "f32.h5"), bf16(place_ / "bf16.h5");
  for (size_t w = 0; w < place_.weights.size(); ++w) {
    const NamedArray& base = place_.weights[w];
    HostArray wanted = base.array.Cast(DType::kF32);
    for (size_t i = 0; i < wanted.values<float>().size(); ++i) {
      wanted.values<float>()[i] +=
          0.5F * (b_[w].array.values<float>()[i] - a_[w].array.values<float>()[i]);
    }
    const HostArray found = f32.Read("/params/" + base.name);
    EXPECT_EQ(std::memcmp(found.data(), wanted.data(), wanted.bytes()), 0) << base.name;
    const HostArray rounded = wanted.Cast(DType::kBF16), stored = bf16.Read("/params/" + base.name);
    EXPECT_EQ(std::memcmp(stored.data(), rounded.data(), rounded.bytes()), 0) << base.name;
  }
  // The contract of the first model stays with it.
  EXPECT_EQ(ReadModelInfo(f32).contract,
            ReadModelInfo(TensorReader(place_ / "sparse.h5")).contract);
}

TEST_F(MergeTest, ScaleZeroChangesNothing) {
  place_.WriteModelFile("a.h5", testing::DenseInfo(), a_);
  place_.WriteModelFile("b.h5", testing::DenseInfo(), b_);
  ASSERT_EQ(Merge("b.h5", "same.h5", {"scale=0", "stored=f32"}).code, 0);
  const TensorReader same(place_ / "same.h5"), base(place_ / "sparse.h5");
  for (const NamedArray& weight : place_.weights) {
    EXPECT_EQ(same.Info("/params/" + weight.name).xxh3, base.Info("/params/" + weight.name).xxh3);
  }
}

TEST_F(MergeTest, RefusesAModelOfOtherShapes) {
  place_.WriteModelFile("a.h5", testing::DenseInfo(), a_);
  ModelInfo deeper = testing::DenseInfo();
  deeper.architecture.depth = 3;
  Context context({.backend = "cpu", .isa = "auto", .threads = 1, .device = 0});
  VideoDit model(context, deeper.architecture, DType::kF32);
  model.parameters().Initialize(1);
  place_.WriteModelFile("deeper.h5", deeper, model.parameters().Export());
  const testing::RunResult run = Merge("deeper.h5", "x.h5", {});
  EXPECT_EQ(run.code, 3) << run.err;
  EXPECT_NE(run.err.find("deeper.h5"), std::string::npos);
  EXPECT_FALSE(std::filesystem::exists(place_ / "x.h5"));
}

}  // namespace
}  // namespace suffice::distill
