// SPDX-License-Identifier: Apache-2.0
#include "lib/config/yaml.h"

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <random>

namespace suffice {
namespace {

struct Rule {
  std::string name = "hybrid";
  Ppm k{30000};
  bool operator==(const Rule&) const = default;
};
void Visit(Fields& f, Rule& c) {
  f("name", c.name, "selection rule").OneOf({"hybrid", "topk", "topp"});
  f("k", c.k, "fraction of blocks").Range(0, 1);
}

struct Solver {
  int64_t steps = 20;
  double shift = 1.0;
  bool operator==(const Solver&) const = default;
};
void Visit(Fields& f, Solver& c) {
  f("steps", c.steps, "solver steps").Range(1, 1000).Flag("steps");
  f("shift", c.shift, "time shift").Range(0.1, 10);
}

struct Sample {
  std::string title = "a: \"b\"\n";
  bool dense = false;
  std::vector<int64_t> layers = {0, 3};
  std::vector<Ppm> grid;
  Solver solver;
  std::vector<Rule> rules = {{}};
  bool operator==(const Sample&) const = default;
};
void Visit(Fields& f, Sample& c) {
  f("title", c.title, "any text");
  f("dense", c.dense, "no sparsity");
  f("layers", c.layers, "layers").Range(0, 99);
  f("grid", c.grid, "fractions");
  f.Group("solver", c.solver, "the solver");
  f.List("rules", c.rules, "the rules");
}

std::string ErrorOf(const std::string& text) {
  Sample sample;
  try {
    LoadYaml(text, "c.yaml", FieldsOf(sample));
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ExitCode::kUsage);
    return e.what();
  }
  return "";
}

TEST(Yaml, LoadsEveryKindAndRemembersOrigins) {
  Sample sample;
  Origins origins;
  const Fields fields = FieldsOf(sample);
  LoadYaml(
      "schema: 1\ntitle: x\nlayers: [1, 2]\ngrid: [0.05, 1]\nsolver:\n  steps: 7\nrules:\n"
      "  - name: topk\n  - {k: .25}\n",
      "c.yaml", fields, &origins);
  EXPECT_EQ(sample.title, "x");
  EXPECT_EQ(sample.layers, (std::vector<int64_t>{1, 2}));
  EXPECT_EQ(sample.grid, (std::vector<Ppm>{{50000}, {1000000}}));
  EXPECT_EQ(sample.solver.steps, 7);
  ASSERT_EQ(sample.rules.size(), 2u);
  EXPECT_EQ(sample.rules[0].name, "topk");
  EXPECT_EQ(sample.rules[1].k.value, 250000);
  EXPECT_EQ(origins["solver.steps"], "c.yaml:6");
  SetField(fields, "solver.steps=9", "--set", &origins);
  SetField(fields, "layers=[4]", "--set", &origins);
  EXPECT_EQ(sample.solver.steps, 9);
  EXPECT_EQ(origins["solver.steps"], "--set");
  EXPECT_NE(DumpYaml(fields, &origins).find("steps: 9  # --set"), std::string::npos);
}

TEST(Yaml, RoundTripsEveryValue) {
  Sample sample;
  sample.title = "quote \" back \\ : # \t end";
  sample.solver.shift = 0.1;
  sample.rules = {{"topp", {1}}, {"topk", {999999}}};
  sample.grid = {{1}, {500000}};
  Sample again;
  LoadYaml(DumpYaml(FieldsOf(sample)), "dump", FieldsOf(again));
  EXPECT_EQ(again, sample);
}

TEST(Yaml, RefusesWithPlaceAndHint) {
  EXPECT_EQ(ErrorOf("dense: true\nsolver:\n  stesp: 3\n"),
            "c.yaml:3:3: unknown key 'solver.stesp' (did you mean 'steps'?)");
  EXPECT_EQ(ErrorOf("dense: true\ndense: false\n"), "c.yaml:2:1: key 'dense' is given twice");
  EXPECT_EQ(ErrorOf("dense: yes\n"), "c.yaml:1:8: dense: 'yes' found, true or false wanted");
  EXPECT_EQ(ErrorOf("solver: {steps: 0}\n"),
            "c.yaml:1:17: solver.steps: '0' found, an integer from 1 to 1000 wanted");
  EXPECT_EQ(
      ErrorOf("rules: [{name: hybird}]\n"),
      "c.yaml:1:16: rules[0].name: 'hybird' found, one of hybrid, topk, topp wanted (did you mean "
      "'hybrid'?)");
}

TEST(Yaml, RefusesWhatTheSubsetLeavesOut) {
  for (const char* text :
       {"solver: {steps: 010}", "solver: {steps: 1e1}", "solver: {steps: \"7\"}",
        "solver: {shift: .nan}", "solver: {shift: 1e400}", "grid: [0.0000001]", "title: &a x",
        "title: *a", "title: !!str x", "<<: {dense: true}", "- 1", "layers: 3", "solver: 3",
        "a: b: c", "schema: 2", "dense: true\n---\na: 1", "solver:\n\tsteps: 3"}) {
    EXPECT_NE(ErrorOf(text), "") << text;
  }
  EXPECT_NE(ErrorOf(std::string(100000, '[')), "");
  EXPECT_EQ(ErrorOf(""), "");
}

TEST(Yaml, ReportsEveryProblemAtOnce) {
  const std::string message = ErrorOf("dens: 1\nlayers: [a]\nsolver: {shift: 99}\n");
  EXPECT_EQ(std::count(message.begin(), message.end(), '\n'), 2) << message;
}

TEST(Yaml, SetRefusesUnknownKeysAndGroups) {
  Sample sample;
  const Fields fields = FieldsOf(sample);
  for (const char* text :
       {"solver=3", "solver.step=3", "dense", "=3", "dense.x=1", "solver.steps=x"}) {
    EXPECT_THROW(SetField(fields, text, "--set"), Error) << text;
  }
  EXPECT_EQ(sample, Sample{});
}

TEST(Yaml, SchemaAndTableDescribeEachKey) {
  Sample sample;
  const Fields fields = FieldsOf(sample);
  const auto schema = nlohmann::json::parse(JsonSchema(fields, "sample"));
  EXPECT_EQ(schema["properties"]["solver"]["properties"]["steps"]["maximum"], 1000);
  EXPECT_EQ(schema["properties"]["rules"]["items"]["properties"]["name"]["enum"].size(), 3u);
  EXPECT_EQ(schema["additionalProperties"], false);
  const std::vector<FieldRow> table = FieldTable(fields);
  ASSERT_EQ(table.size(), 10u);
  EXPECT_EQ(table[5].name, "solver.steps");
  EXPECT_EQ(table[5].initial, "20");
  EXPECT_EQ(table[8].name, "rules[].name");
  EXPECT_EQ(sample, Sample{});
}

// A mutant is refused by name or reads as another valid document; nothing crashes.
TEST(Yaml, SurvivesMutation) {
  const std::string base =
      "schema: 1\ntitle: \"x y\"\ndense: false\nlayers: [0, 3, 12]\ngrid: [0.05, 1]\n"
      "solver:\n  steps: 20\n  shift: 1.5\nrules:\n  - name: topp\n    k: 0.03\n";
  std::mt19937 random(5);
  for (int i = 0; i < 1500; ++i) {
    std::string text = base;
    for (unsigned edits = 1 + random() % 4; edits > 0 && !text.empty(); --edits) {
      const size_t at = random() % text.size();
      switch (random() % 4) {
        case 0:
          text[at] = static_cast<char>(random() % 256);
          break;
        case 1:
          text.erase(at, random() % 9);
          break;
        case 2:
          text.insert(at, text.substr(random() % text.size(), random() % 20));
          break;
        default:
          text.insert(at, 1, "[]{}:,&*!|>'\"%@#-?\t\n"[random() % 20]);
          break;
      }
    }
    Sample sample;
    try {
      LoadYaml(text, "mutant.yaml", FieldsOf(sample));
      Sample again;
      LoadYaml(DumpYaml(FieldsOf(sample)), "again", FieldsOf(again));
      EXPECT_EQ(again, sample) << text;
    } catch (const Error& e) {
      EXPECT_NE(std::string(e.what()).find("mutant.yaml"), std::string::npos) << e.what() << "\n"
                                                                              << text;
    }
  }
}

}  // namespace
}  // namespace suffice
