// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "lib/base/error.h"
#include "lib/generate/clip_set.h"
#include "lib/generate/scores.h"
#include "lib/generate/verbs.h"
#include "lib/model/classifier_file.h"

namespace suffice::generate {
namespace {

using Json = nlohmann::ordered_json;

constexpr char kDrawn[] = "the reference is a dataset, its clips have no pairs";

// The classifier of --features, if there is one.
struct Judge {
  std::string digest;
  ClassifierInfo info;
  std::unique_ptr<VideoClassifier> classifier;
};

Judge OpenJudge(RunScope& scope, const CompareConfig& config, const ClipSet& clips) {
  Judge judge;
  if (!scope.Has("features")) return judge;
  const std::string& path = scope.Input("features");
  const TensorReader file(path, EncodingType::kClassifier);
  judge.digest = scope.DigestOf(path);
  judge.info = ReadClassifierInfo(file);
  const ClipShape& found = clips.shape();
  const std::vector<int64_t>& wanted = judge.info.resolution;
  if (std::vector<int64_t>{found.frames, found.height, found.width} != wanted) {
    throw UsageError("{}: clips of {} frames of {}x{}, the classifier {} is for {} of {}x{}",
                     clips.path(), found.frames, found.width, found.height, path, wanted[0],
                     wanted[2], wanted[1]);
  }
  judge.classifier = LoadClassifier(scope.context(), file, judge.info,
                                    config.compute == "bf16" ? DType::kBF16 : DType::kF32);
  return judge;
}

// The classifier's numbers of the samples' labels, by name.
std::vector<int64_t> WantedLabels(const ClipSet& clips, const Judge& judge,
                                  const std::string& classifier_path) {
  std::vector<int64_t> wanted;
  for (const int32_t label : clips.labels()) {
    const std::string& name = clips.classes()[static_cast<size_t>(label)];
    const auto found = std::find(judge.info.classes.begin(), judge.info.classes.end(), name);
    if (found == judge.info.classes.end()) {
      throw UsageError("{}: class '{}': the classifier {} has {}", clips.path(), name,
                       classifier_path, fmt::join(judge.info.classes, ", "));
    }
    wanted.push_back(found - judge.info.classes.begin());
  }
  return wanted;
}

class Comparison {
 public:
  Comparison(RunScope& scope, const CompareConfig& config)
      : scope_(scope), config_(config), samples_(scope.Input("samples")) {
    const std::string& path = scope.Input("reference");
    const TensorReader file(path);
    if (samples_.count() < 2)
      throw UsageError("{}: one video, at least two are wanted", samples_.path());
    const EncodingType type = file.header().encoding_type;
    if (type != EncodingType::kDataset && type != EncodingType::kSamples)
      throw DataError("{}: encoding-type {}, wanted samples or dataset", path, NameOf(type));
    if (type == EncodingType::kDataset) {
      DrawFrom(path);
    } else {
      auto other = std::make_unique<SampledClips>(path);
      reference_count_ = other->count();
      pair_problem_ = PairProblem(*other);
      reference_ = std::move(other);
    }
    const ClipShape &a = samples_.shape(), &b = reference_->shape();
    if (a.frames != b.frames || a.height != b.height || a.width != b.width) {
      throw UsageError("{}: clips of {} frames of {}x{}, those of {} have {} of {}x{}",
                       samples_.path(), a.frames, a.width, a.height, path, b.frames, b.width,
                       b.height);
    }
    if (reference_count_ < 2) throw UsageError("{}: one clip, at least two are wanted", path);
    judge_ = OpenJudge(scope, config, samples_);
    if (judge_.classifier && samples_.labelled()) {
      wanted_ = WantedLabels(samples_, judge_, scope.Input("features"));
    }
    for (ClipTable* table : {&of_samples_, &of_reference_}) {
      const ClipSet& set = table == &of_samples_ ? samples_ : *reference_;
      // Clips of a labelled file, and draws made to match one, are so many of each class; draws
      // without that are of a class by chance.
      const bool by_class = table == &of_samples_ || samples_.labelled() || pair_problem_ != kDrawn;
      if (by_class && set.labelled()) table->labels = {set.labels().begin(), set.labels().end()};
      if (!judge_.classifier) continue;
      table->features = judge_.classifier->feature_count();
      table->classes = judge_.classifier->class_count();
    }
  }

  double FlopsLeft() {
    if (!judge_.classifier) return 0;
    const ClipShape& s = samples_.shape();
    const VideoDit::Flops forward =
        judge_.classifier->trunk().ForwardFlops({1, 3, s.frames, s.height, s.width});
    return static_cast<double>(Total() - of_samples_.count - of_reference_.count) *
           (forward.linear + forward.attention);
  }

  std::vector<std::string> Describe() const {
    std::vector<std::string> lines = {
        fmt::format("{} of {}", samples_.count(), samples_.population()),
        fmt::format("{} of {}", reference_count_, reference_->population())};
    if (judge_.classifier) {
      lines.push_back(fmt::format("features of classifier {}, {} a clip",
                                  judge_.digest.substr(0, 16), of_samples_.features));
    }
    return lines;
  }

  void Run() {
    Fill(samples_, pair_problem_.empty() ? reference_.get() : nullptr, &of_samples_);
    Fill(*reference_, nullptr, &of_reference_);
  }

  void Restore(const TensorReader& checkpoint) {
    Load(checkpoint, "/state/samples", samples_.count(), &of_samples_);
    Load(checkpoint, "/state/reference", reference_->count(), &of_reference_);
  }

  std::vector<Score> Scores() {
    const auto stop_if_asked = [this] {
      if (ToFile() && scope_.StopRequested()) Save();
    };
    ScoreOptions options{config_.directions, config_.resamples, scope_.seed(), stop_if_asked};
    const bool drawn = reference_->count() != reference_count_;
    const ClipTable reference = drawn ? Half(of_reference_, false) : of_reference_;
    std::vector<Score> scores;
    const auto add = [&](std::vector<Score> more) {
      for (Score& score : more) scores.push_back(std::move(score));
    };
    const auto without = [&](const std::string& name, const std::string& why) {
      scores.push_back({.name = name, .note = "not reported: " + why});
    };
    if (judge_.classifier) {
      const ClassifierInfo& info = judge_.info;
      scores.push_back({.name = "classifier_accuracy",
                        .value = info.accuracy(),
                        .interval = info.accuracy_interval(),
                        .method = "exact binomial",
                        .n = info.draws,
                        .note = fmt::format("classifier {}: {}", judge_.digest, info.population)});
    } else {
      without("frechet", "no --features");
      without("feature_sliced_wasserstein", "no --features");
    }
    add(DistanceScores(of_samples_, reference, options, ""));
    if (drawn) {
      add(DistanceScores(Half(of_reference_, true), reference, options, "floor_"));
    } else if (reference.count >= 4) {
      add(DistanceScores(Half(reference, true), Half(reference, false), options, "floor_"));
    } else {
      without("floor", "the reference has fewer than four clips to be halved");
    }
    if (!wanted_.empty()) {
      add({AgreementScore(of_samples_, wanted_)});
    } else {
      without("class_agreement", judge_.classifier ? "samples without labels" : "no --features");
    }
    if (samples_.shape().frames > 1) {
      add(FlickerScores(of_samples_, reference, options));
    } else {
      without("flicker", "clips of one frame");
    }
    if (pair_problem_.empty()) {
      add(PairScores(of_samples_, options));
    } else {
      without("psnr", pair_problem_);
      without("relative_l1", pair_problem_);
    }
    return scores;
  }

  Json ToJson(const std::vector<Score>& scores) const {
    Json list = Json::array();
    for (const Score& s : scores) {
      Json entry = {{"name", s.name}, {"value", nullptr}};
      if (s.value) {
        entry["value"] = *s.value;
        entry["interval"] = {s.interval.low, s.interval.high};
        entry["method"] = s.method;
        if (s.n > 0) entry["n"] = s.n;
        if (s.reference_n > 0) entry["reference_n"] = s.reference_n;
      }
      if (!s.note.empty()) entry["note"] = s.note;
      list.push_back(std::move(entry));
    }
    Json json = {{"samples", Describe(samples_, samples_.count())},
                 {"reference", Describe(*reference_, reference_count_)}};
    if (judge_.classifier) {
      const Interval interval = judge_.info.accuracy_interval();
      json["classifier"] = {{"digest", judge_.digest},
                            {"features", of_samples_.features},
                            {"classes", judge_.info.classes},
                            {"accuracy", judge_.info.accuracy()},
                            {"interval", {interval.low, interval.high}},
                            {"draws", judge_.info.draws},
                            {"population", judge_.info.population}};
    }
    json["directions"] = config_.directions;
    json["resamples"] = config_.resamples;
    json["seed"] = scope_.seed();
    json["scores"] = std::move(list);
    return json;
  }

 private:
  bool ToFile() const { return scope_.Output() != "-"; }
  int64_t Total() const { return samples_.count() + reference_->count(); }

  Json Describe(const ClipSet& set, int64_t count) const {
    return {{"digest", scope_.DigestOf(set.path())},
            {"clips", count},
            {"population", set.population()}};
  }

  // The reference, and as many again behind it: its own floor.
  void DrawFrom(const std::string& path) {
    scope_.progress().Activity("reading " + path);
    auto data = std::make_shared<const ClipDataset>(ClipDataset::Read(path));
    reference_count_ = config_.draws > 0 ? config_.draws : samples_.count();
    DrawOptions options{config_.split == "held_out", config_.flips, scope_.seed(), {}};
    if (samples_.labelled()) {
      if (samples_.classes() != data->classes()) {
        throw UsageError("{}: its classes are not those of {}", path, samples_.path());
      }
      options.labels = samples_.labels();
    }
    reference_ = std::make_unique<DrawnClips>(std::move(data), path, scope_.DigestOf(path),
                                              samples_.shape(), 2 * reference_count_, options);
    pair_problem_ = kDrawn;
  }

  // Why the two files are not pairs; empty if they are.
  std::string PairProblem(const SampledClips& other) const {
    if (other.count() != samples_.count())
      return fmt::format("{} samples, {} in the reference", samples_.count(), other.count());
    if (!samples_.seed() || samples_.seed() != other.seed()) return "seeds differ";
    if (other.labels() != samples_.labels() || other.classes() != samples_.classes())
      return "labels differ";
    return {};
  }

  void Fill(const ClipSet& set, const ClipSet* pairs, ClipTable* table) {
    while (table->count < set.count()) {
      if (table->count > 0 && ToFile() && scope_.CheckpointDue()) Save();
      const int64_t first = table->count, batch = std::min(config_.batch, set.count() - first);
      const ClipShape& s = set.shape();
      HostArray clips(DType::kF32, {batch, 3, s.frames, s.height, s.width});
      auto out = clips.values<float>().begin();
      for (int64_t i = first; i < first + batch; ++i) {
        const HostArray clip = set.Clip(i);
        out = std::copy(clip.values<float>().begin(), clip.values<float>().end(), out);
        AddClip(clip, scope_.seed(), table);
        if (pairs != nullptr) AddPair(clip, pairs->Clip(i), table);
      }
      if (judge_.classifier) {
        for (const ClipJudgement& judged :
             judge_.classifier->Judge(Tensor::FromHost(scope_.context(), clips))) {
          table->feature_rows.insert(table->feature_rows.end(), judged.features.begin(),
                                     judged.features.end());
          table->score_rows.insert(table->score_rows.end(), judged.scores.begin(),
                                   judged.scores.end());
        }
      }
      const int64_t done = of_samples_.count + of_reference_.count;
      scope_.progress().Step(done, Total(),
                             fmt::format("{}: clip {}/{}", set.path(), table->count, set.count()));
    }
  }

  void Save() {
    scope_.SaveCheckpoint([&](TensorWriter& writer) {
      const auto put = [&](const std::string& group, const ClipTable& table) {
        writer.Attribute(group, "count", table.count);
        ClipTable::ForEach(table, [&](const char* name, const std::vector<double>& values) {
          if (!values.empty()) writer.Dataset(group + "/" + name, ToArray(values));
        });
      };
      put("/state/samples", of_samples_);
      put("/state/reference", of_reference_);
    });
  }

  static void Load(const TensorReader& checkpoint, const std::string& group, int64_t most,
                   ClipTable* table) {
    table->count = checkpoint.IntAttribute(group, "count").value_or(-1);
    if (table->count < 0 || table->count > most)
      throw DataError("{}: {}: {} clips, at most {} are of this run", checkpoint.path(), group,
                      table->count, most);
    ClipTable::ForEach(*table, [&](const char* name, std::vector<double>& values) {
      const std::string path = group + "/" + name;
      if (!checkpoint.Has(path)) return;
      checkpoint.Require(path, DType::kF64, {-1}, "this run");
      values = ToDoubles(checkpoint.Read(path));
    });
  }

  RunScope& scope_;
  const CompareConfig& config_;
  SampledClips samples_;
  std::unique_ptr<ClipSet> reference_;
  int64_t reference_count_ = 0;  // of its clips: those that are the reference
  std::string pair_problem_;
  Judge judge_;
  std::vector<int64_t> wanted_;  // labels of the samples, as the classifier numbers them
  ClipTable of_samples_, of_reference_;
};

std::string Tsv(const std::vector<Score>& scores) {
  std::string tsv = "score\tvalue\tlow\thigh\tn\treference_n\tmethod\tnote\n";
  for (const Score& s : scores) {
    tsv += s.value ? fmt::format("{}\t{:.6g}\t{:.6g}\t{:.6g}", s.name, *s.value, s.interval.low,
                                 s.interval.high)
                   : fmt::format("{}\t\t\t", s.name);
    tsv += fmt::format("\t{}\t{}\t{}\t{}\n", s.n, s.reference_n, s.method, s.note);
  }
  return tsv;
}

std::string Text(const std::vector<Score>& scores) {
  std::string text;
  for (const Score& s : scores) {
    text += s.value ? fmt::format(
                          "{:<34} {:>10.5g} [{:.5g}, {:.5g}]  n {}{}", s.name, *s.value,
                          s.interval.low, s.interval.high, s.n > 0 ? s.n : s.reference_n,
                          s.n > 0 && s.reference_n > 0 ? fmt::format(" and {}", s.reference_n) : "")
                    : fmt::format("{:<34}", s.name);
    text += s.note.empty() ? "\n" : "  " + s.note + "\n";
  }
  return text;
}

}  // namespace

Report Compare(const CompareConfig& config, RunScope& scope) {
  const std::string& output = scope.Output();
  const bool as_json = output.ends_with(".json");
  if (!as_json && !output.ends_with(".tsv") && output != "-")
    throw UsageError("{}: .tsv, .json or - is wanted", output);
  Comparison comparison(scope, config);
  if (output != "-") {
    if (const auto checkpoint = scope.OpenCheckpoint()) comparison.Restore(*checkpoint);
  }
  Plan plan{
      .what = fmt::format("compare {} with {}", scope.Input("samples"), scope.Input("reference")),
      .details = comparison.Describe(),
      .flops = comparison.FlopsLeft()};
  if (!scope.Begin(plan)) return {};
  comparison.Run();
  const std::vector<Score> scores = comparison.Scores();
  for (const Score& score : scores) {
    if (score.name == "frechet" && score.value && !score.note.empty())
      scope.progress().Warning("frechet: " + score.note);
  }
  const std::string json = comparison.ToJson(scores).dump(2) + "\n";
  scope.WriteText(output, as_json ? json : Tsv(scores));
  std::map<std::string, std::string> facts;
  for (const Score& score : scores) {
    if (score.value) facts[score.name] = fmt::format("{:.5g}", *score.value);
  }
  return {.text = Text(scores), .json = json, .facts = std::move(facts)};
}

}  // namespace suffice::generate
