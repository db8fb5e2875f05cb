// SPDX-License-Identifier: Apache-2.0
// How far a set of clips is from a reference: what generate compare reports. Every score has a 95 %
// interval over clips and says of how many it speaks.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "lib/stats/inference.h"
#include "lib/tensor/tensor.h"

namespace suffice::generate {

// What is kept of each clip of a set; rows by clip.
struct ClipTable {
  std::vector<int64_t> labels;        // by which clips are resampled class by class; or none
  int64_t features = 0, classes = 0;  // 0 without a classifier
  std::vector<double> feature_rows;   // (clips, features)
  std::vector<double> score_rows;     // (clips, classes)
  std::vector<double> patches;        // (clips, kPatches, kPatchValues)
  std::vector<double> flicker;        // (clips); empty for clips of one frame
  // (clips) each, of pairs alone: mean square error, sums of |a - b| and of |b|.
  std::vector<double> square, difference, reference;
  int64_t count = 0;

  // All but the number of clips, by name: what a checkpoint holds.
  template <class Table, class Body>
  static void ForEach(Table& table, const Body& body) {
    body("features", table.feature_rows);
    body("scores", table.score_rows);
    body("patches", table.patches);
    body("flicker", table.flicker);
    body("square", table.square);
    body("difference", table.difference);
    body("reference", table.reference);
  }
};

// Cubes of kPatchFrames x kPatchSide x kPatchSide x 3 values in [-1, 1], kPatches of them a clip at
// places drawn from (seed, Stream::kPatch, clip): smaller where the clip is.
constexpr int64_t kPatches = 16, kPatchFrames = 2, kPatchSide = 8;

// Adds a clip (3, F, Y, X) fp32: its patches and its flicker, the mean over values of
// |x_{f + 1} - x_f|.
void AddClip(const HostArray& clip, uint64_t seed, ClipTable* table);
// Adds the sums of a pair over values that are cut off at [-1, 1]: mean square error, and sums of
// |a - b| and |b|.
void AddPair(const HostArray& clip, const HostArray& reference, ClipTable* table);

struct Score {
  std::string name = {};
  std::optional<double> value = {};  // none: not reported, `note` says why
  Interval interval = {};
  std::string method = {};         // of the interval
  int64_t n = 0, reference_n = 0;  // clips; 0: none of this set enter
  std::string note = {};
};

struct ScoreOptions {
  int64_t directions = 64;
  int64_t resamples = 1000;
  uint64_t seed = 0;
  std::function<void()> before_resample;  // may throw to end them; may be empty
};

// Frechet distance in features, sliced Wasserstein distances in features and in patches. `prefix`
// goes before their names: "floor." for the distance between two sets of one source.
std::vector<Score> DistanceScores(const ClipTable& clips, const ClipTable& reference,
                                  const ScoreOptions& options, const std::string& prefix);
std::vector<Score> FlickerScores(const ClipTable& clips, const ClipTable& reference,
                                 const ScoreOptions& options);
// PSNR = 10 log10(4 / MSE) in the mean over clips, and sum |a - b| / sum |b|.
std::vector<Score> PairScores(const ClipTable& clips, const ScoreOptions& options);
// How often the greatest score is that of the wanted class.
Score AgreementScore(const ClipTable& clips, const std::vector<int64_t>& wanted);

// The first or the second half of a table's clips.
ClipTable Half(const ClipTable& table, bool second);

}  // namespace suffice::generate
