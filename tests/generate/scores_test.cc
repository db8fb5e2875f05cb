// SPDX-License-Identifier: Apache-2.0
#include "lib/generate/scores.h"

#include <gtest/gtest.h>

#include <cmath>

#include "lib/base/philox.h"

namespace suffice::generate {
namespace {

// Clips (3, 4, 10, 12) of noise around `level`.
HostArray NoisyClip(uint64_t seed, float level = 0, float deviation = 0.1f) {
  HostArray clip(DType::kF32, {3, 4, 10, 12});
  uint64_t i = 0;
  for (float& x : clip.values<float>()) {
    x = level + deviation * NormalAt(seed, static_cast<uint32_t>(Stream::kTest), i++);
  }
  return clip;
}

ClipTable TableOf(uint64_t first, int64_t count, float level = 0, float deviation = 0.1f) {
  ClipTable table;
  for (int64_t i = 0; i < count; ++i) {
    AddClip(NoisyClip(first + static_cast<uint64_t>(i), level, deviation), 1, &table);
  }
  return table;
}

const Score& Named(const std::vector<Score>& scores, const std::string& name) {
  for (const Score& score : scores) {
    if (score.name == name) return score;
  }
  ADD_FAILURE() << name;
  return scores.front();
}

const ScoreOptions kOptions{.directions = 16, .resamples = 100, .seed = 5};

TEST(Scores, FlickerIsTheMeanStepBetweenFrames) {
  HostArray clip(DType::kF32, {3, 4, 10, 12});
  for (size_t i = 0; i < clip.values<float>().size(); ++i) {
    clip.values<float>()[i] = (i / 120) % 2 == 0 ? 0.25f : -0.25f;  // frames in turn
  }
  ClipTable table;
  AddClip(clip, 1, &table);
  AddClip(HostArray(DType::kF32, {3, 4, 10, 12}), 1, &table);
  EXPECT_NEAR(table.flicker[0], 0.5, 1e-7);
  EXPECT_EQ(table.flicker[1], 0);
  EXPECT_EQ(table.patches.size(), static_cast<size_t>(2 * kPatches * 3 * kPatchFrames * 64));
}

TEST(Scores, ThePatchDistanceSeesAShiftOfBrightness) {
  const ClipTable a = TableOf(1, 12), b = TableOf(100, 12), bright = TableOf(200, 12, 0.5f);
  const std::vector<Score> same = DistanceScores(a, b, kOptions, "");
  const std::vector<Score> other = DistanceScores(a, bright, kOptions, "");
  for (const char* name : {"patch_sliced_wasserstein_1", "patch_sliced_wasserstein_2"}) {
    const Score &near = Named(same, name), &far = Named(other, name);
    EXPECT_GT(*far.value, 5 * *near.value) << name;
    EXPECT_LE(far.interval.low, *far.value);
    EXPECT_GE(far.interval.high, *far.value);
    EXPECT_GT(far.interval.low, near.interval.high);
    EXPECT_EQ(far.n, 12);
  }
  EXPECT_EQ(same.size(), 2u) << "without features no more than patches";
}

TEST(Scores, TheFeatureDistanceIsFrechetsAndWarnsOfFewClips) {
  ClipTable a, b;
  for (ClipTable* table : {&a, &b}) {
    table->features = 4;
    table->count = 30;
    table->patches.resize(30 * kPatches);
    for (uint64_t i = 0; i < 120; ++i) {
      table->feature_rows.push_back(NormalAt(3, static_cast<uint32_t>(Stream::kTest), i) +
                                    (table == &b && i % 4 == 0 ? 2 : 0));
    }
  }
  const std::vector<Score> scores = DistanceScores(a, b, kOptions, "x_");
  const Score& frechet = Named(scores, "x_frechet");
  EXPECT_NEAR(*frechet.value, 4, 1e-6);
  EXPECT_TRUE(frechet.note.empty());
  EXPECT_GT(frechet.interval.low, 1);
  EXPECT_LT(frechet.interval.high, 9);
  a.count = b.count = 4;
  for (ClipTable* table : {&a, &b}) {
    table->feature_rows.resize(16);
    table->patches.resize(4 * kPatches);
  }
  const std::vector<Score> few = DistanceScores(a, b, kOptions, "");
  EXPECT_NE(Named(few, "frechet").note.find("singular"), std::string::npos);
}

TEST(Scores, PsnrAndRelativeL1OfAKnownError) {
  ClipTable table;
  for (uint64_t i = 0; i < 5; ++i) {
    HostArray clip(DType::kF32, {3, 1, 4, 4}), reference(DType::kF32, {3, 1, 4, 4});
    for (float& x : clip.values<float>()) x = 3.0f;  // cut off at 1
    for (float& x : reference.values<float>()) x = 0.8f;
    AddPair(clip, reference, &table);
    ++table.count;
  }
  const std::vector<Score> scores = PairScores(table, kOptions);
  EXPECT_NEAR(*Named(scores, "psnr").value, 20, 1e-4);  // 10 log10(4 / 0.04)
  EXPECT_NEAR(*Named(scores, "relative_l1").value, 0.25, 1e-6);
  EXPECT_NEAR(Named(scores, "psnr").interval.low, 20, 1e-4);
}

TEST(Scores, FlickerHasARatio) {
  const ClipTable a = TableOf(1, 20, 0, 0.2f), b = TableOf(50, 30, 0, 0.1f);
  const std::vector<Score> scores = FlickerScores(a, b, kOptions);
  const Score& ratio = Named(scores, "flicker_ratio");
  EXPECT_NEAR(*ratio.value, 2, 0.05);
  EXPECT_LT(ratio.interval.low, 2.02);
  EXPECT_GT(ratio.interval.high, 1.98);
  EXPECT_EQ(ratio.reference_n, 30);
  EXPECT_NEAR(*Named(scores, "flicker").value, 0.2 * 2 / std::sqrt(M_PI), 0.01);
}

// Two classes far apart, as many of each in both sets: by how much they differ has no part in how
// well the distance is known.
TEST(Scores, ClassesAreResampledApart) {
  ClipTable a, b;
  for (ClipTable* table : {&a, &b}) {
    table->features = 1;
    table->count = 40;
    table->patches.resize(40 * kPatches);
    for (uint64_t i = 0; i < 40; ++i) {
      table->labels.push_back(static_cast<int64_t>(i % 2));
      table->feature_rows.push_back(
          10.0 * static_cast<double>(i % 2) +
          0.1 * double{NormalAt(table == &a ? 3 : 4, static_cast<uint32_t>(Stream::kTest), i)});
    }
  }
  const auto width = [&] {
    const Interval interval =
        Named(DistanceScores(a, b, kOptions, ""), "feature_sliced_wasserstein_1").interval;
    return interval.high - interval.low;
  };
  const double apart = width();
  EXPECT_LT(apart, 0.1);
  a.labels.clear();
  b.labels.clear();
  EXPECT_GT(width(), 5 * apart);
}

TEST(Scores, AgreementIsAFrequencyWithAnExactInterval) {
  ClipTable table;
  table.classes = 2;
  table.count = 3;
  table.score_rows = {0.9, 0.1, 0.2, 0.8, 0.6, 0.4};
  const Score score = AgreementScore(table, {0, 1, 1});
  EXPECT_NEAR(*score.value, 2.0 / 3, 1e-15);
  EXPECT_EQ(score.interval.low, ClopperPearson(3, 2).low);
}

TEST(Scores, HalvesAreDisjoint) {
  const ClipTable table = TableOf(1, 5);
  const ClipTable first = Half(table, false), second = Half(table, true);
  EXPECT_EQ(first.count, 2);
  EXPECT_EQ(first.flicker, (std::vector<double>{table.flicker[0], table.flicker[1]}));
  EXPECT_EQ(second.flicker, (std::vector<double>{table.flicker[2], table.flicker[3]}));
  EXPECT_EQ(first.patches.size() * 5, table.patches.size() * 2);
}

}  // namespace
}  // namespace suffice::generate
