// SPDX-License-Identifier: Apache-2.0
#include "lib/generate/scores.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include "lib/base/error.h"
#include "lib/base/philox.h"
#include "lib/stats/bootstrap.h"
#include "lib/stats/frechet.h"
#include "lib/stats/sliced_wasserstein.h"

namespace suffice::generate {
namespace {

using Counts = std::vector<int64_t>;

constexpr char kCentred[] = "centred basic bootstrap";
constexpr char kPercentile[] = "percentile bootstrap";

double Cut(float x) { return std::clamp(double{x}, -1.0, 1.0); }

Resampler ResamplerOf(const ClipTable& table, uint64_t seed, uint32_t set) {
  if (table.labels.empty()) return Resampler(table.count, seed, set);
  return Resampler(table.labels, seed, set);
}

// Replicates over resamples of both sets, independently.
void ForResamples(const ClipTable& clips, const ClipTable& reference, const ScoreOptions& options,
                  const std::function<void(const Counts&, const Counts&)>& measure) {
  const Resampler a = ResamplerOf(clips, options.seed, 0),
                  b = ResamplerOf(reference, options.seed, 1);
  for (int64_t draw = 0; draw < options.resamples; ++draw) {
    if (options.before_resample) options.before_resample();
    const auto index = static_cast<uint64_t>(draw);
    measure(a.Counts(index), b.Counts(index));
  }
}

double WeightedMean(const std::vector<double>& x, const Counts& counts) {
  double sum = 0;
  for (size_t i = 0; i < x.size(); ++i) sum += static_cast<double>(counts[i]) * x[i];
  return sum / static_cast<double>(x.size());
}

Score FrechetScore(const ClipTable& clips, const ClipTable& reference, const ScoreOptions& options,
                   const std::string& prefix) {
  const int64_t dim = clips.features;
  Score score{.name = prefix + "frechet", .method = kCentred};
  const double value = FrechetDistance(FitGaussian(clips.feature_rows, dim),
                                       FitGaussian(reference.feature_rows, dim));
  std::vector<double> replicates;
  ForResamples(clips, reference, options, [&](const Counts& a, const Counts& b) {
    replicates.push_back(FrechetDistance(FitGaussian(clips.feature_rows, dim, a),
                                         FitGaussian(reference.feature_rows, dim, b)));
  });
  score.value = value;
  score.interval = CentredInterval(value, std::move(replicates));
  if (std::min(clips.count, reference.count) <= dim) {
    score.note = fmt::format(
        "{} and {} clips for {} features: a covariance is singular and most "
        "of the value is bias",
        clips.count, reference.count, dim);
  }
  return score;
}

std::vector<Score> WassersteinScores(const std::vector<double>& a, const std::vector<double>& b,
                                     int64_t dim, const ClipTable& clips,
                                     const ClipTable& reference, const ScoreOptions& options,
                                     const std::string& name) {
  const SlicedWasserstein distance({a, clips.count}, {b, reference.count}, dim, options.directions,
                                   options.seed);
  const SlicedWasserstein::Distances value = distance.Measure();
  std::vector<double> one, two;
  ForResamples(clips, reference, options, [&](const Counts& x, const Counts& y) {
    const SlicedWasserstein::Distances drawn = distance.Measure(x, y);
    one.push_back(drawn.one);
    two.push_back(drawn.two);
  });
  const std::string note = fmt::format("{} directions", options.directions);
  return {{.name = name + "1",
           .value = value.one,
           .interval = CentredInterval(value.one, one),
           .method = kCentred,
           .note = note},
          {.name = name + "2",
           .value = value.two,
           .interval = CentredInterval(value.two, two),
           .method = kCentred,
           .note = note}};
}

}  // namespace

void AddClip(const HostArray& clip, uint64_t seed, ClipTable* table) {
  const Shape& shape = clip.shape();
  const int64_t frames = shape[1], height = shape[2], width = shape[3];
  const float* x = clip.values<float>().data();
  const auto at = [&](int64_t c, int64_t f, int64_t row, int64_t column) {
    return x[((c * frames + f) * height + row) * width + column];
  };
  const int64_t deep = std::min(kPatchFrames, frames), high = std::min(kPatchSide, height),
                wide = std::min(kPatchSide, width);
  const auto below = [](uint32_t bits, int64_t count) {
    return static_cast<int64_t>(uint64_t{bits} * static_cast<uint64_t>(count) >> 32);
  };
  for (int64_t p = 0; p < kPatches; ++p) {
    const auto bits = Philox(seed, static_cast<uint32_t>(Stream::kPatch),
                             static_cast<uint64_t>(table->count * kPatches + p));
    const int64_t f0 = below(bits[0], frames - deep + 1), y0 = below(bits[1], height - high + 1),
                  x0 = below(bits[2], width - wide + 1);
    for (int64_t c = 0; c < shape[0]; ++c) {
      for (int64_t f = 0; f < deep; ++f) {
        for (int64_t row = 0; row < high; ++row) {
          for (int64_t column = 0; column < wide; ++column) {
            table->patches.push_back(double{at(c, f0 + f, y0 + row, x0 + column)});
          }
        }
      }
    }
  }
  if (frames > 1) {
    double sum = 0;
    const int64_t plane = height * width;
    for (int64_t c = 0; c < shape[0]; ++c) {
      const float* from = x + c * frames * plane;
      for (int64_t i = 0; i < (frames - 1) * plane; ++i) {
        sum += std::abs(double{from[i + plane]} - double{from[i]});
      }
    }
    table->flicker.push_back(sum / static_cast<double>(shape[0] * (frames - 1) * plane));
  }
  ++table->count;
}

void AddPair(const HostArray& clip, const HostArray& reference, ClipTable* table) {
  SUFFICE_CHECK(clip.shape() == reference.shape());
  const auto a = clip.values<float>(), b = reference.values<float>();
  double square = 0, difference = 0, size = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double gap = Cut(a[i]) - Cut(b[i]);
    square += gap * gap;
    difference += std::abs(gap);
    size += std::abs(Cut(b[i]));
  }
  table->square.push_back(square / static_cast<double>(a.size()));
  table->difference.push_back(difference);
  table->reference.push_back(size);
}

std::vector<Score> DistanceScores(const ClipTable& clips, const ClipTable& reference,
                                  const ScoreOptions& options, const std::string& prefix) {
  std::vector<Score> scores;
  const auto add = [&](std::vector<Score> more) {
    for (Score& score : more) scores.push_back(std::move(score));
  };
  if (clips.features > 0) {
    add({FrechetScore(clips, reference, options, prefix)});
    add(WassersteinScores(clips.feature_rows, reference.feature_rows, clips.features, clips,
                          reference, options, prefix + "feature_sliced_wasserstein_"));
  }
  const int64_t values = static_cast<int64_t>(clips.patches.size()) / clips.count / kPatches;
  add(WassersteinScores(clips.patches, reference.patches, values, clips, reference, options,
                        prefix + "patch_sliced_wasserstein_"));
  for (Score& score : scores) {
    score.n = clips.count;
    score.reference_n = reference.count;
  }
  return scores;
}

std::vector<Score> FlickerScores(const ClipTable& clips, const ClipTable& reference,
                                 const ScoreOptions& options) {
  std::vector<double> of_clips, of_reference, ratios;
  ForResamples(clips, reference, options, [&](const Counts& a, const Counts& b) {
    of_clips.push_back(WeightedMean(clips.flicker, a));
    of_reference.push_back(WeightedMean(reference.flicker, b));
    if (of_reference.back() > 0) ratios.push_back(of_clips.back() / of_reference.back());
  });
  const double value = Mean(clips.flicker), wanted = Mean(reference.flicker);
  std::vector<Score> scores = {{.name = "flicker",
                                .value = value,
                                .interval = PercentileInterval(of_clips),
                                .method = kPercentile,
                                .n = clips.count},
                               {.name = "reference_flicker",
                                .value = wanted,
                                .interval = PercentileInterval(of_reference),
                                .method = kPercentile,
                                .reference_n = reference.count}};
  if (wanted > 0 && static_cast<int64_t>(ratios.size()) == options.resamples) {
    scores.push_back({.name = "flicker_ratio",
                      .value = value / wanted,
                      .interval = PercentileInterval(ratios),
                      .method = kPercentile,
                      .n = clips.count,
                      .reference_n = reference.count});
  }
  return scores;
}

std::vector<Score> PairScores(const ClipTable& clips, const ScoreOptions& options) {
  Score psnr{.name = "psnr", .method = kPercentile, .n = clips.count, .reference_n = clips.count};
  const auto same = std::count(clips.square.begin(), clips.square.end(), 0.0);
  if (same > 0) {
    psnr.note = fmt::format("{} of {} pairs are identical: infinite", same, clips.count);
  } else {
    std::vector<double> decibels, means;
    for (const double square : clips.square) decibels.push_back(10 * std::log10(4 / square));
    ForResamples(clips, clips, options, [&](const Counts& a, const Counts&) {
      means.push_back(WeightedMean(decibels, a));
    });
    psnr.value = Mean(decibels);
    psnr.interval = PercentileInterval(std::move(means));
    psnr.note = "dB, in the mean over clips";
  }
  std::vector<Score> scores = {std::move(psnr)};
  double difference = 0, reference = 0;
  for (const double x : clips.difference) difference += x;
  for (const double x : clips.reference) reference += x;
  if (reference > 0) {
    std::vector<double> ratios;
    ForResamples(clips, clips, options, [&](const Counts& a, const Counts&) {
      const double below = WeightedMean(clips.reference, a);
      if (below > 0) ratios.push_back(WeightedMean(clips.difference, a) / below);
    });
    scores.push_back({.name = "relative_l1",
                      .value = difference / reference,
                      .interval = PercentileInterval(std::move(ratios)),
                      .method = kPercentile,
                      .n = clips.count,
                      .reference_n = clips.count});
  }
  return scores;
}

Score AgreementScore(const ClipTable& clips, const std::vector<int64_t>& wanted) {
  int64_t agreed = 0;
  for (size_t i = 0; i < wanted.size(); ++i) {
    const auto first = clips.score_rows.begin() + static_cast<int64_t>(i) * clips.classes;
    agreed += std::max_element(first, first + clips.classes) - first == wanted[i] ? 1 : 0;
  }
  const auto n = static_cast<int64_t>(wanted.size());
  return {.name = "class_agreement",
          .value = static_cast<double>(agreed) / static_cast<double>(n),
          .interval = ClopperPearson(n, agreed),
          .method = "exact binomial",
          .n = n};
}

ClipTable Half(const ClipTable& table, bool second) {
  const int64_t half = table.count / 2;
  ClipTable part;
  part.features = table.features;
  part.classes = table.classes;
  part.count = half;
  const auto take = [&](const std::vector<double>& rows, std::vector<double>* out) {
    const int64_t width = static_cast<int64_t>(rows.size()) / table.count;
    const auto first = rows.begin() + (second ? half : 0) * width;
    out->assign(first, first + half * width);
  };
  take(table.feature_rows, &part.feature_rows);
  take(table.score_rows, &part.score_rows);
  take(table.patches, &part.patches);
  take(table.flicker, &part.flicker);
  if (!table.labels.empty()) {
    const auto first = table.labels.begin() + (second ? half : 0);
    part.labels.assign(first, first + half);
  }
  return part;
}

}  // namespace suffice::generate
