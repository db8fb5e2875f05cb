// SPDX-License-Identifier: Apache-2.0
// What a sweep ranks blocks by and how it groups block rows, against a direct computation in
// double.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>
#include <span>

#include "lib/base/philox.h"
#include "lib/sparsify/block_scores.h"
#include "lib/sparsify/sweep_measure.h"
#include "lib/stats/inference.h"
#include "tests/generate/generate_testing.h"

namespace suffice::sparsify {
namespace {

using Json = nlohmann::json;

// Two sequences, grouped heads, partial last blocks: 300 = 4 * 64 + 44.
constexpr int64_t kBatch = 2, kHeads = 2, kKeyHeads = 1, kTokens = 300, kDim = 16, kBlock = 64,
                  kBlocks = 5, kRows = kBatch * kHeads * kBlocks;

HostArray Normals(const Shape& shape, uint32_t stream, float scale) {
  HostArray array(DType::kF32, shape);
  uint64_t index = 0;
  for (float& x : array.values<float>()) x = scale * NormalAt(5, stream, index++);
  return array;
}

class SweepTest : public ::testing::Test {
 protected:
  SweepTest() {
    // Keys of a block share a mean and have a spread of their own, so that rankings differ.
    uint64_t index = 0;
    for (float& x : k_.values<float>()) {
      const uint64_t block = index / kDim % kTokens / kBlock, d = index % kDim;
      const float spread = 0.2f + 0.5f * static_cast<float>(block);
      x = NormalAt(5, 7, block * kDim + d) + spread * x;
      ++index;
    }
    FileHeader header;
    header.encoding_type = EncodingType::kCapture;
    TensorWriter writer(folder_ / "q.h5", header);
    writer.Dataset("/layers/0/q", q_);
    writer.Dataset("/layers/0/k", k_);
    writer.Dataset("/layers/0/v", v_);
    writer.Commit();
  }

  AttentionInputs Inputs() {
    q_device_ = Tensor::FromHost(context_, q_);
    k_device_ = Tensor::FromHost(context_, k_);
    v_device_ = Tensor::FromHost(context_, v_);
    return {q_device_, k_device_, v_device_, {kBlock, kBlock}, {}, 0, {}};
  }

  Json Sweep(std::vector<std::string> sets) {
    sets.insert(sets.end(), {"block_q=64", "block_k=64", "orders=[raster]"});
    Options options = testing::Set(std::move(sets));
    options.json = true;
    options.force = true;
    const testing::RunResult run = testing::RunTool(
        Verbs(), "sweep", {{"qkv", {folder_ / "q.h5"}}, {"output", {folder_ / "s.tsv"}}}, options);
    EXPECT_EQ(run.code, 0) << run.err;
    return Json::parse(run.out);
  }

  double Q(int64_t sequence, int64_t t, int64_t d) const {
    return q_.values<float>()[static_cast<size_t>((sequence * kTokens + t) * kDim + d)];
  }
  double K(int64_t sequence, int64_t t, int64_t d) const {  // the key head of a query's sequence
    const int64_t key = sequence / (kHeads / kKeyHeads);
    return k_.values<float>()[static_cast<size_t>((key * kTokens + t) * kDim + d)];
  }
  static int64_t Begin(int64_t block) { return block * kBlock; }
  static int64_t End(int64_t block) { return std::min(Begin(block) + kBlock, kTokens); }

  // softmax(q k^T / sqrt(D)) of one query over all keys.
  std::vector<double> Probabilities(int64_t sequence, int64_t t) const {
    std::vector<double> row;
    for (int64_t j = 0; j < kTokens; ++j) {
      double score = 0;
      for (int64_t d = 0; d < kDim; ++d) score += Q(sequence, t, d) * K(sequence, j, d);
      row.push_back(std::exp(score / std::sqrt(double{kDim})));
    }
    const double sum = std::accumulate(row.begin(), row.end(), 0.0);
    for (double& x : row) x /= sum;
    return row;
  }

  // Mean mass that the queries of block i give to block j.
  double BlockMass(int64_t sequence, int64_t i, int64_t j) const {
    double mass = 0;
    for (int64_t t = Begin(i); t < End(i); ++t) {
      const std::vector<double> p = Probabilities(sequence, t);
      mass += std::accumulate(p.begin() + Begin(j), p.begin() + End(j), 0.0);
    }
    return mass / static_cast<double>(End(i) - Begin(i));
  }

  // Score of one pair of blocks, as block_scores.h has it.
  double Score(bool cumulant, int64_t sequence, int64_t i, int64_t j) const {
    const double scale = 1 / std::sqrt(double{kDim});
    const auto count = static_cast<double>(End(j) - Begin(j));
    double score = cumulant ? std::log(count) : 0;
    for (int64_t d = 0; d < kDim; ++d) {
      double q = 0, mean = 0, square = 0;
      for (int64_t t = Begin(i); t < End(i); ++t) q += Q(sequence, t, d);
      q /= static_cast<double>(End(i) - Begin(i));
      for (int64_t t = Begin(j); t < End(j); ++t) mean += K(sequence, t, d) / count;
      for (int64_t t = Begin(j); t < End(j); ++t)
        square += std::pow(K(sequence, t, d) - mean, 2) / count;
      score += scale * q * mean;
      if (cumulant) score += 0.5 * scale * scale * q * q * square;
    }
    return score;
  }

  template <class Wanted>
  static void ExpectScores(const HostArray& scores, const Wanted& wanted) {
    ASSERT_EQ(scores.shape(), (Shape{kBatch, kHeads, kBlocks, kBlocks}));
    for (int64_t row = 0; row < kRows; ++row) {
      for (int64_t j = 0; j < kBlocks; ++j) {
        EXPECT_NEAR(scores.values<float>()[static_cast<size_t>(row * kBlocks + j)],
                    wanted(row / kBlocks, row % kBlocks, j), 2e-5)
            << "block row " << row << ", key block " << j;
      }
    }
  }

  // Mean kept mass when each block row keeps its first `kept` blocks by `score`.
  template <class Score>
  double KeptMass(size_t kept, const Score& score) const {
    double mass = 0;
    for (int64_t row = 0; row < kRows; ++row) {
      std::vector<std::pair<double, int64_t>> order;
      for (int64_t j = 0; j < kBlocks; ++j)
        order.emplace_back(-score(row / kBlocks, row % kBlocks, j), j);
      std::sort(order.begin(), order.end());
      const int64_t i = row % kBlocks;
      for (size_t n = 0; n < kept; ++n) {
        mass +=
            static_cast<double>(End(i) - Begin(i)) * BlockMass(row / kBlocks, i, order[n].second);
      }
    }
    return mass / static_cast<double>(kBatch * kHeads * kTokens);
  }

  TempFolder folder_;
  Context context_{ContextOptions{}};
  HostArray q_ = Normals({kBatch, kHeads, kTokens, kDim}, 1, 1.5F);
  HostArray k_ = Normals({kBatch, kKeyHeads, kTokens, kDim}, 2, 1.0F);
  HostArray v_ = Normals({kBatch, kKeyHeads, kTokens, kDim}, 3, 1.0F);
  Tensor q_device_, k_device_, v_device_;
};

TEST_F(SweepTest, ScoresAreWhatTheirFormulasSay) {
  const AttentionInputs inputs = Inputs();
  ExpectScores(MeanScores(context_, inputs),
               [&](int64_t s, int64_t i, int64_t j) { return Score(false, s, i, j); });
  ExpectScores(CumulantScores(context_, inputs, k_),
               [&](int64_t s, int64_t i, int64_t j) { return Score(true, s, i, j); });
  const AttentionResult dense =
      RunAttention(context_, inputs, PlanLayer(DenseSetting(), 0, kHeads, 0));
  ExpectScores(OracleScores(context_, inputs, dense.lse),
               [&](int64_t s, int64_t i, int64_t j) { return std::log(BlockMass(s, i, j)); });
}

TEST_F(SweepTest, KeptMassIsTheRecallOfEachRanking) {
  const Json rows = Sweep({"rules=[topk]", "k=[0.4]", "scores=[mean, cumulant, oracle]"});
  ASSERT_EQ(rows.size(), 3u);
  const auto mass = [&](size_t row) { return rows[row]["kept_mass"]["mean"].get<double>(); };
  const auto by = [&](bool cumulant) {
    return KeptMass(2, [&](int64_t s, int64_t i, int64_t j) { return Score(cumulant, s, i, j); });
  };
  EXPECT_NEAR(mass(0), by(false), 1e-5);
  EXPECT_NEAR(mass(1), by(true), 1e-5);
  EXPECT_NEAR(mass(2),
              KeptMass(2, [&](int64_t s, int64_t i, int64_t j) { return BlockMass(s, i, j); }),
              1e-5);
  EXPECT_NE(mass(0), mass(1));
  EXPECT_GT(mass(2), std::max(mass(0), mass(1)));
  EXPECT_EQ(rows[1]["scores"], "cumulant");
  EXPECT_EQ(rows[2]["rows"], "all");
}

TEST_F(SweepTest, GroupsOfBlockRowsAreThoseOfTheirEntropy) {
  const Json rows = Sweep({"rules=[topk]", "k=[0.4]", "row_groups=2"});
  ASSERT_EQ(rows.size(), 3u);
  std::vector<double> entropies;
  for (int64_t row = 0; row < kRows; ++row) {
    double z = 0, h = 0;
    for (int64_t j = 0; j < kBlocks; ++j)
      z += std::exp(Score(false, row / kBlocks, row % kBlocks, j));
    for (int64_t j = 0; j < kBlocks; ++j) {
      const double p = std::exp(Score(false, row / kBlocks, row % kBlocks, j)) / z;
      h -= p * std::log(p);
    }
    entropies.push_back(h / std::log(double{kBlocks}));
  }
  const std::vector<double> found = RowEntropies(MeanScores(context_, Inputs()));
  ASSERT_EQ(found.size(), entropies.size());
  for (size_t i = 0; i < found.size(); ++i) EXPECT_NEAR(found[i], entropies[i], 1e-5);

  // Each half's entropy, and that the halves make up the whole.
  std::vector<double> sorted = entropies;
  std::sort(sorted.begin(), sorted.end());
  const std::span<const double> least(sorted.data(), sorted.size() / 2),
      most(sorted.data() + sorted.size() / 2, sorted.size() / 2);
  EXPECT_NEAR(rows[0]["entropy"].get<double>(), Mean(entropies), 1e-5);
  EXPECT_NEAR(rows[1]["entropy"].get<double>(), Mean(least), 1e-5);
  EXPECT_NEAR(rows[2]["entropy"].get<double>(), Mean(most), 1e-5);
  EXPECT_EQ(rows[1]["rows"], "1/2");
  const auto mass = [&](size_t row) { return rows[row]["kept_mass"]["mean"].get<double>(); };
  EXPECT_GT(mass(1), mass(2));  // a row of small entropy has its mass in few blocks
  EXPECT_GT(mass(0), mass(2));
  EXPECT_LT(mass(0), mass(1));
  // Grouping changes nothing of the whole.
  const Json alone = Sweep({"rules=[topk]", "k=[0.4]"});
  for (const char* key : {"density", "relative_l1", "relative_l2", "kept_mass"})
    EXPECT_EQ(alone[0][key], rows[0][key]) << key;
}

TEST(SweepGroups, AreQuantilesWithTiesKeptTogether) {
  const std::vector<double> values = {4, 1, 3, 2};
  EXPECT_EQ(GroupsOf(values, values, 2), (std::vector<int64_t>{2, 1, 2, 1}));
  EXPECT_EQ(GroupsOf(values, values, 4), (std::vector<int64_t>{4, 1, 3, 2}));
  EXPECT_EQ(GroupsOf({1, 1, 1}, {1, 1, 1}, 3), (std::vector<int64_t>{1, 1, 1}));
}

TEST_F(SweepTest, WhatIsNoRankingIsRefused) {
  for (const auto& [set, message] : std::vector<std::pair<std::string, std::string>>{
           {"scores=[median]", "scores: 'median' found, mean, cumulant or oracle wanted"},
           {"scores=[mean, mean]", "scores: 'mean' is given twice"},
           {"scores=[]", "scores: none given"}}) {
    const testing::RunResult run =
        testing::RunTool(Verbs(), "sweep", {{"qkv", {folder_ / "q.h5"}}}, testing::Set({set}));
    EXPECT_EQ(run.code, 2) << set;
    EXPECT_NE(run.err.find(message), std::string::npos) << run.err;
  }
}

}  // namespace
}  // namespace suffice::sparsify
