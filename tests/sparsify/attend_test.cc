// SPDX-License-Identifier: Apache-2.0
// The verbs that run attention, against a plain recomputation in double.
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "lib/base/philox.h"
#include "tests/generate/generate_testing.h"

namespace suffice::sparsify {
namespace {

using Json = nlohmann::json;

constexpr int64_t kHeads = 2, kKeyHeads = 1, kTokens = 300, kDim = 16, kBlockQ = 64, kBlockK = 64;

HostArray Normals(const Shape& shape, uint32_t stream, float scale) {
  HostArray array(DType::kF32, shape);
  uint64_t index = 0;
  for (float& x : array.values<float>()) x = scale * NormalAt(5, stream, index++);
  return array;
}

// Output (1, H, N, D) over the kept blocks, and the kept mass of each row, in double.
struct Plain {
  std::vector<double> o, mass;
};

class AttendVerbTest : public ::testing::Test {
 protected:
  AttendVerbTest() {
    FileHeader header;
    header.encoding_type = EncodingType::kCapture;
    TensorWriter writer(folder_ / "q.h5", header);
    writer.Attribute("/", "grid", std::vector<int64_t>{3, 10, 10});
    writer.Dataset("/layers/0/q", q_);
    writer.Dataset("/layers/0/k", k_);
    writer.Dataset("/layers/0/v", v_);
    writer.Commit();
  }

  testing::RunResult Run(const std::string& verb, const std::string& output,
                         std::vector<std::string> sets, const std::string& mask = "") {
    testing::Arguments arguments = {{"qkv", {folder_ / "q.h5"}}, {"output", {folder_ / output}}};
    if (!mask.empty()) arguments["mask"] = {folder_ / mask};
    if (verb != "sweep") sets.push_back("at=/layers/0");
    sets.insert(sets.end(), {"block_q=64", "block_k=64"});
    Options options = testing::Set(std::move(sets));
    options.json = true;
    return testing::RunTool(Verbs(), verb, arguments, options);
  }

  HostArray Read(const std::string& file, const std::string& dataset) const {
    return TensorReader(folder_ / file).Read(dataset);
  }

  Plain Recompute(const HostArray& mask) const {
    const int64_t t_q = mask.shape()[2], t_k = mask.shape()[3];
    const auto q = q_.values<float>(), k = k_.values<float>(), v = v_.values<float>();
    Plain plain;
    for (int64_t h = 0; h < kHeads; ++h) {
      for (int64_t i = 0; i < kTokens; ++i) {
        double kept = 0, all = 0;
        std::vector<double> row(kDim);
        for (int64_t j = 0; j < kTokens; ++j) {
          double score = 0;
          for (int64_t d = 0; d < kDim; ++d) {
            score += double{q[static_cast<size_t>((h * kTokens + i) * kDim + d)]} *
                     k[static_cast<size_t>(j * kDim + d)];
          }
          const double weight = std::exp(score / std::sqrt(double{kDim}));
          all += weight;
          const int64_t block = (h * t_q + i / kBlockQ) * t_k + j / kBlockK;
          if (mask.values<uint8_t>()[static_cast<size_t>(block)] == 0) continue;
          kept += weight;
          for (int64_t d = 0; d < kDim; ++d)
            row[static_cast<size_t>(d)] += weight * v[static_cast<size_t>(j * kDim + d)];
        }
        for (const double x : row) plain.o.push_back(x / kept);
        plain.mass.push_back(kept / all);
      }
    }
    return plain;
  }

  TempFolder folder_;
  HostArray q_ = Normals({1, kHeads, kTokens, kDim}, 1, 1.5F);
  HostArray k_ = Normals({1, kKeyHeads, kTokens, kDim}, 2, 1.5F);
  HostArray v_ = Normals({1, kKeyHeads, kTokens, kDim}, 3, 1.0F);
};

TEST_F(AttendVerbTest, ExactErrorAndMassEqualARecomputation) {
  const testing::RunResult run = Run("attend", "o.h5", {"rule=topk", "k=0.4", "exact=true"});
  ASSERT_EQ(run.code, 0) << run.err;
  const HostArray mask = Read("o.h5", "/mask"), o = Read("o.h5", "/o");
  ASSERT_EQ(mask.shape(), (Shape{1, kHeads, 5, 5}));
  const Plain sparse = Recompute(mask);
  HostArray full(DType::kU8, mask.shape());
  for (uint8_t& byte : full.values<uint8_t>()) byte = 1;
  const Plain dense = Recompute(full);
  double l1 = 0, l2 = 0, n1 = 0, n2 = 0, worst = 0, mean = 0, least = 1;
  for (size_t i = 0; i < sparse.o.size(); ++i) {
    worst = std::max(worst, std::abs(sparse.o[i] - o.values<float>()[i]));
    l1 += std::abs(sparse.o[i] - dense.o[i]);
    l2 += (sparse.o[i] - dense.o[i]) * (sparse.o[i] - dense.o[i]);
    n1 += std::abs(dense.o[i]);
    n2 += dense.o[i] * dense.o[i];
  }
  for (const double mass : sparse.mass) {
    mean += mass / static_cast<double>(sparse.mass.size());
    least = std::min(least, mass);
  }
  EXPECT_LT(worst, 1e-5);
  const Json json = Json::parse(run.out);
  EXPECT_NEAR(json["error"]["relative_l1"].get<double>(), l1 / n1, 1e-5 * l1 / n1);
  EXPECT_NEAR(json["error"]["relative_l2"].get<double>(), std::sqrt(l2 / n2),
              1e-5 * std::sqrt(l2 / n2));
  EXPECT_NEAR(json["kept_mass"]["mean"].get<double>(), mean, 1e-6);
  EXPECT_NEAR(json["kept_mass"]["min"].get<double>(), least, 1e-6);
  // Density is of token pairs: the last block has 300 - 4 * 64 = 44 tokens.
  double kept = 0;
  for (size_t block = 0; block < mask.values<uint8_t>().size(); ++block) {
    const double rows = block / 5 % 5 == 4 ? 44 : 64, columns = block % 5 == 4 ? 44 : 64;
    kept += mask.values<uint8_t>()[block] * rows * columns;
  }
  EXPECT_DOUBLE_EQ(json["density"].get<double>(), kept / (kHeads * kTokens * kTokens));
  EXPECT_EQ(json["kept_mass"]["rows"], kHeads * kTokens);
}

TEST_F(AttendVerbTest, SampledRowsSpeakOfTheSameMass) {
  const testing::RunResult run = Run("attend", "o.h5", {"rule=topk", "k=0.4", "sample_rows=40"});
  ASSERT_EQ(run.code, 0) << run.err;
  const Json json = Json::parse(run.out);
  EXPECT_EQ(json["kept_mass"]["rows"], 40 * kHeads);
  const Plain sparse = Recompute(Read("o.h5", "/mask"));
  double mean = 0;
  for (const double mass : sparse.mass) mean += mass / static_cast<double>(sparse.mass.size());
  EXPECT_NEAR(json["kept_mass"]["mean"].get<double>(), mean, 0.1);
}

TEST_F(AttendVerbTest, AMaskFileGivesTheSameOutputAgain) {
  ASSERT_EQ(Run("mask", "m.h5", {"rule=hybrid", "k=0.2", "p=0.5"}).code, 0);
  ASSERT_EQ(Run("attend", "a.h5", {"rule=hybrid", "k=0.2", "p=0.5"}).code, 0);
  const testing::RunResult again = Run("attend", "b.h5", {}, "m.h5");
  ASSERT_EQ(again.code, 0) << again.err;
  const TensorReader a(folder_ / "a.h5"), b(folder_ / "b.h5"), m(folder_ / "m.h5");
  EXPECT_EQ(a.Info("/mask").xxh3, m.Info("/mask").xxh3);
  for (const char* dataset : {"/mask", "/o", "/lse"}) {
    EXPECT_EQ(a.Info(dataset).xxh3, b.Info(dataset).xxh3) << dataset;
  }
}

TEST_F(AttendVerbTest, DenseKeepsEverything) {
  const testing::RunResult run = Run("attend", "o.h5", {"rule=dense", "exact=true"});
  ASSERT_EQ(run.code, 0) << run.err;
  const Json json = Json::parse(run.out);
  EXPECT_EQ(json["density"], 1.0);
  EXPECT_EQ(json["error"]["relative_l1"], 0.0);
  EXPECT_NEAR(json["kept_mass"]["min"].get<double>(), 1.0, 1e-6);
}

TEST_F(AttendVerbTest, ASweepAgreesWithAttend) {
  const testing::RunResult sweep =
      Run("sweep", "s.tsv", {"rules=[topk]", "k=[0.2, 0.4]", "orders=[raster]"});
  ASSERT_EQ(sweep.code, 0) << sweep.err;
  const Json rows = Json::parse(sweep.out);
  ASSERT_EQ(rows.size(), 2u);
  for (size_t i = 0; i < 2; ++i) {
    const std::string k = i == 0 ? "k=0.2" : "k=0.4";
    const testing::RunResult one =
        Run("attend", "o" + std::to_string(i) + ".h5", {"rule=topk", k, "exact=true"});
    const Json json = Json::parse(one.out);
    EXPECT_EQ(rows[i]["density"], json["density"]);
    EXPECT_EQ(rows[i]["relative_l1"], json["error"]["relative_l1"]);
    EXPECT_NEAR(rows[i]["kept_mass"]["mean"].get<double>(), json["kept_mass"]["mean"].get<double>(),
                1e-6);
  }
  // Another order of the tokens selects other blocks, and says so in a row of its own.
  const testing::RunResult both = Run(
      "sweep", "t.tsv", {"rules=[topk]", "k=[0.4]", "orders=[raster, tiles]", "tile=[1, 5, 5]"});
  ASSERT_EQ(both.code, 0) << both.err;
  const Json orders = Json::parse(both.out);
  ASSERT_EQ(orders.size(), 2u);
  EXPECT_EQ(orders[0]["density"], rows[1]["density"]);
  EXPECT_NE(orders[0]["relative_l1"], orders[1]["relative_l1"]);
}

}  // namespace
}  // namespace suffice::sparsify
