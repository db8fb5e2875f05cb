// SPDX-License-Identifier: Apache-2.0
// table1 DIRECTORY [DRAWS]: writes table1.tsv, table1.json and table1.md (README.md beside this
// says what is in them).
#include <fmt/core.h>

#include <cmath>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>

#include "examples/tables/spargeattention2/rows.h"
#include "lib/base/error.h"
#include "lib/base/ppm.h"
#include "lib/io/atomic_file.h"
#include "lib/stats/inference.h"

namespace suffice::table1 {
namespace {

using Json = nlohmann::ordered_json;

constexpr uint64_t kSeed = 20261122;
constexpr double kDensity = 0.125;  // 4 of 32 key blocks
constexpr int32_t kTopK = 125'000;
constexpr int32_t kHybridK = 62'500;  // half of it; p fills up the rest
constexpr double kDensityTolerance = 0.002;

struct Rows {
  std::string name;
  HeadKinds kinds;
};

// What is measured of one draw: over all of its heads, and over those of one kind in a mixture.
struct Part {
  std::string name;
  int64_t first_head, end_head;
};

struct Measured {
  std::string part;
  std::vector<double> l1, mass, selection_mass, density;  // one a draw
};

struct RuleResult {
  std::string name;
  SelectSetting setting;
  std::vector<Measured> parts;
};

struct KindResult {
  std::string name;
  std::vector<RuleResult> rules;
};

// Mean over the rows of heads [first, end) of values with the same number a head.
double HeadMean(const std::vector<double>& values, int64_t first, int64_t end) {
  const auto per_head = values.size() / static_cast<size_t>(kHeads);
  return Mean(std::span(values).subspan(static_cast<size_t>(first) * per_head,
                                        static_cast<size_t>(end - first) * per_head));
}

double RelativeL1(const HostArray& found, const HostArray& wanted, const Part& part) {
  double difference = 0, reference = 0;
  const auto per_head = static_cast<size_t>(kTokens * kDim);
  for (size_t i = static_cast<size_t>(part.first_head) * per_head;
       i < static_cast<size_t>(part.end_head) * per_head; ++i) {
    const double b = wanted.values<float>()[i];
    difference += std::fabs(double{found.values<float>()[i]} - b);
    reference += std::fabs(b);
  }
  return difference / reference;
}

LayerPlan PlanOf(const SelectSetting& setting) {
  LayerPlan plan;
  plan.dense = false;
  // As the hybrid rule: top-k has the least p, top-p has k = 0.
  plan.heads.assign(static_cast<size_t>(kHeads), {setting.k_ppm, std::max(setting.p_ppm, 1)});
  return plan;
}

void Measure(Context& context, const Draw& draw, const HostArray& dense,
             const std::vector<Part>& parts, SelectRule rule, RuleResult& result) {
  const sparsify::AttentionResult sparse =
      sparsify::RunAttention(context, draw.inputs(), PlanOf(result.setting));
  const Kept kept = KeptBlocks(draw, rule, result.setting);
  int64_t blocks = 0;
  for (const int64_t n : kept.blocks) blocks += n;
  SUFFICE_CHECK(sparse.pairs.kept == blocks * kBlock.q * kBlock.k);  // one rule, two ways
  const HostArray o = sparse.o.ToHost();
  const std::vector<double> mass = sparsify::KeptMass(context, draw.inputs(), sparse.lse, {});
  std::vector<double> density;
  for (const int64_t n : kept.blocks)
    density.push_back(static_cast<double>(n) / static_cast<double>(kKeyBlocks));
  for (size_t i = 0; i < parts.size(); ++i) {
    Measured& m = result.parts[i];
    const int64_t first = parts[i].first_head, end = parts[i].end_head;
    m.l1.push_back(RelativeL1(o, dense, parts[i]));
    m.mass.push_back(HeadMean(mass, first, end));
    m.selection_mass.push_back(HeadMean(kept.mass, first, end));
    m.density.push_back(HeadMean(density, first, end));
  }
}

KindResult RunKind(Context& context, const Rows& rows, int64_t count) {
  std::vector<Draw> draws;
  for (int64_t i = 0; i < count; ++i) draws.push_back(MakeDraw(context, kSeed, i, rows.kinds));
  std::vector<Part> parts = {{rows.name, 0, kHeads}};
  if (rows.kinds.front() != rows.kinds.back()) {
    parts.push_back({rows.name + ": near-uniform half", 0, kHeads / 2});
    parts.push_back({rows.name + ": skewed half", kHeads / 2, kHeads});
  }
  struct Rule {
    const char* name;
    SelectRule rule;
    int32_t k_ppm;
  };
  KindResult result{rows.name, {}};
  const Rule rules[] = {{"topk", SelectRule::kTopK, kTopK},
                        {"topp", SelectRule::kTopP, 0},
                        {"hybrid", SelectRule::kHybrid, kHybridK}};
  std::vector<HostArray> dense;
  for (const Draw& draw : draws) {
    dense.push_back(
        sparsify::RunAttention(context, draw.inputs(), PlanLayer(DenseSetting(), 0, kHeads, 0))
            .o.ToHost());
  }
  for (const Rule& rule : rules) {
    RuleResult of_rule{rule.name, {rule.k_ppm, 0}, {}};
    if (rule.rule != SelectRule::kTopK)
      of_rule.setting.p_ppm = PpmForDensity(draws, rule.rule, rule.k_ppm, kDensity);
    for (const Part& part : parts) of_rule.parts.push_back({part.name, {}, {}, {}, {}});
    for (size_t i = 0; i < draws.size(); ++i) {
      Measure(context, draws[i], dense[i], parts, rule.rule, of_rule);
      if (rule.rule == SelectRule::kHybrid) CheckHybridKeepsMost(draws[i], of_rule.setting);
    }
    const double found = Mean(of_rule.parts.front().density);
    if (std::fabs(found - kDensity) > kDensityTolerance) {
      throw CheckFailedError("{} on {}: density {:.4f}, {} +- {} wanted", rule.name, rows.name,
                             found, kDensity, kDensityTolerance);
    }
    result.rules.push_back(std::move(of_rule));
  }
  return result;
}

struct Difference {
  std::string a, b;
  double mean;
  Interval interval;
};

std::vector<Difference> Differences(const KindResult& kind, size_t part) {
  const auto l1 = [&](size_t rule) {
    return std::span<const double>(kind.rules[rule].parts[part].l1);
  };
  std::vector<Difference> result;
  for (const auto& [a, b] : {std::pair<size_t, size_t>{2, 0}, {2, 1}, {1, 0}}) {
    result.push_back({kind.rules[a].name, kind.rules[b].name, Mean(l1(a)) - Mean(l1(b)),
                      PairedInterval(l1(a), l1(b))});
  }
  return result;
}

std::string Signed(double x) { return fmt::format("{:+.4f}", x); }

void Write(const std::string& path, const std::string& text) {
  AtomicFile file(path, true);
  file.Write(text);
  file.Commit();
}

void WriteAll(const std::string& directory, const std::vector<KindResult>& kinds, int64_t draws) {
  std::string tsv = "rows\trule\tk\tp\tdensity\trel_l1\tkept_mass\tselection_mass\n";
  std::string md =
      "Relative L1 of the output; each rule's mean density, and the share of the softmax mass that "
      "it keeps.\n\n| rows | rule | k | p | density | relative L1 | kept mass | selection mass |\n"
      "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |\n";
  std::string intervals =
      "\nDifferences of relative L1 over the same draws, with 95 % paired intervals "
      "(negative: the first rule errs less).\n\n| rows | rules | difference | interval |\n"
      "| --- | --- | ---: | ---: |\n";
  Json json = {{"seed", kSeed}, {"draws", draws}, {"density", kDensity}, {"rows", Json::array()}};
  for (const KindResult& kind : kinds) {
    for (size_t part = 0; part < kind.rules.front().parts.size(); ++part) {
      Json entry = {{"rows", kind.rules.front().parts[part].part},
                    {"rules", Json::array()},
                    {"differences", Json::array()}};
      for (const RuleResult& rule : kind.rules) {
        const Measured& m = rule.parts[part];
        const std::string k = rule.setting.k_ppm > 0 ? ToString(Ppm{rule.setting.k_ppm}) : "-";
        const std::string p = rule.setting.p_ppm > 0 ? ToString(Ppm{rule.setting.p_ppm}) : "-";
        tsv += fmt::format("{}\t{}\t{}\t{}\t{:.5f}\t{:.6f}\t{:.6f}\t{:.6f}\n", m.part, rule.name, k,
                           p, Mean(m.density), Mean(m.l1), Mean(m.mass), Mean(m.selection_mass));
        md += fmt::format("| {} | {} | {} | {} | {:.4f} | {:.4f} | {:.4f} | {:.4f} |\n", m.part,
                          rule.name, k, p, Mean(m.density), Mean(m.l1), Mean(m.mass),
                          Mean(m.selection_mass));
        entry["rules"].push_back({{"rule", rule.name},
                                  {"k", k},
                                  {"p", p},
                                  {"density", Mean(m.density)},
                                  {"relative_l1", m.l1},
                                  {"kept_mass", m.mass},
                                  {"selection_mass", m.selection_mass}});
      }
      for (const Difference& d : Differences(kind, part)) {
        intervals +=
            fmt::format("| {} | {} - {} | {} | [{}, {}] |\n", kind.rules.front().parts[part].part,
                        d.a, d.b, Signed(d.mean), Signed(d.interval.low), Signed(d.interval.high));
        entry["differences"].push_back({{"rules", {d.a, d.b}},
                                        {"mean", d.mean},
                                        {"low", d.interval.low},
                                        {"high", d.interval.high}});
      }
      json["rows"].push_back(std::move(entry));
    }
  }
  Write(directory + "/table1.tsv", tsv);
  Write(directory + "/table1.md", md + intervals);
  Write(directory + "/table1.json", json.dump(1) + "\n");
  fmt::print("{}{}", md, intervals);
}

int Main(int argc, char** argv) {
  const int64_t draws = argc > 2 ? std::atoll(argv[2]) : 24;
  if (argc < 2 || argc > 3 || draws < 2)
    throw UsageError("table1: DIRECTORY [DRAWS, at least 2] wanted");
  Context context(ContextOptions{});
  using enum Kind;
  const Rows all[] = {{"near-uniform", {kNearUniform, kNearUniform, kNearUniform, kNearUniform}},
                      {"skewed", {kSkewed, kSkewed, kSkewed, kSkewed}},
                      {"mixture", {kNearUniform, kNearUniform, kSkewed, kSkewed}}};
  std::vector<KindResult> kinds;
  for (const Rows& rows : all) kinds.push_back(RunKind(context, rows, draws));
  WriteAll(argv[1], kinds, draws);
  return 0;
}

}  // namespace
}  // namespace suffice::table1

int main(int argc, char** argv) {
  try {
    return suffice::table1::Main(argc, argv);
  } catch (const suffice::Error& e) {
    fmt::print(stderr, "{}\n", e.what());
    return static_cast<int>(e.code());
  }
}
