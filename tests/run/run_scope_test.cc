// SPDX-License-Identifier: Apache-2.0
// One verb that counts, driven as an executable drives it: plans, checkpoints, stops, errors.
#include "lib/run/run_scope.h"

#include <gtest/gtest.h>

#include <csignal>
#include <new>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "lib/base/error.h"
#include "lib/base/version.h"
#include "lib/ledger/log.h"
#include "lib/ledger/verify.h"
#include "tests/generate/generate_testing.h"

namespace suffice {
namespace {

using Json = nlohmann::json;

struct CountConfig {
  int64_t to = 5;
  std::string end = "well";  // how it ends
  double predicted = 0;      // seconds
  int64_t stop_at = -1;      // where it sends itself SIGTERM
};
void Visit(Fields& f, CountConfig& c) {
  f("to", c.to, "how far").Range(0, 1000);
  f("end", c.end, "how it ends").OneOf({"well", "memory", "surprise", "no"});
  f("predicted", c.predicted, "seconds").Range(0, 1e9);
  f("stop_at", c.stop_at, "where a signal comes").Range(-1, 1000);
}

// Counts to config.to, adding up; writes the sum. Keeps the sum in its checkpoints.
Report Count(const CountConfig& config, RunScope& scope) {
  const auto checkpoint = scope.OpenCheckpoint();
  int64_t at = 0, sum = 0;
  if (checkpoint) {
    at = checkpoint->IntAttribute("/state", "at").value();
    sum = checkpoint->IntAttribute("/state", "sum").value();
  }
  if (!scope.Begin({.what = "count", .details = {"slowly"}, .seconds = config.predicted}))
    return {};
  for (; at < config.to; ++at) {
    if (at == config.stop_at && !checkpoint) std::raise(SIGTERM);
    if (scope.CheckpointDue()) {
      scope.SaveCheckpoint([&](TensorWriter& writer) {
        writer.Attribute("/state", "at", at);
        writer.Attribute("/state", "sum", sum);
      });
    }
    sum += at;
    scope.progress().Step(at + 1, config.to, "counted", {{"sum", sum}});
  }
  if (config.end == "memory") throw std::bad_alloc();
  if (config.end == "surprise") throw std::runtime_error("a surprise");
  TensorWriter writer = scope.NewFile(EncodingType::kCalibration);
  writer.Dataset("/sum", HostArray::From<int64_t>({1}, std::vector<int64_t>{sum}));
  scope.Commit(std::move(writer));
  return {.text = fmt::format("{}\n", sum),
          .json = Json{{"sum", sum}}.dump() + "\n",
          .facts = {{"sum", std::to_string(sum)}},
          .code = config.end == "no" ? ExitCode::kCheckFailed : ExitCode::kDone};
}

std::vector<Verb> Verbs() {
  VerbInfo info{.tool = "counter", .name = "count", .summary = "count"};
  info.arguments = {{"output", "-o,--output", ArgumentKind::kOutput, true, false, "the sum"}};
  info.resumable = info.uses_seed = true;
  return {MakeVerb(std::move(info), &Count)};
}

class RunTest : public ::testing::Test {
 protected:
  testing::RunResult Run(std::vector<std::string> sets, Options options = {}) {
    options.sets = std::move(sets);
    return testing::RunTool(Verbs(), "count", {{"output", {out_}}}, options);
  }
  int64_t Sum() const { return TensorReader(out_).Read("/sum").values<int64_t>()[0]; }

  TempFolder folder_;
  std::string out_ = folder_ / "sum.h5";
  std::string checkpoint_ = out_ + ".checkpoint";
};

TEST_F(RunTest, SaysThePlanAndPrintsTheReport) {
  const testing::RunResult run = Run({"to=10"});
  EXPECT_EQ(run.code, 0);
  EXPECT_EQ(run.out, "45\n");
  EXPECT_NE(run.err.find("counter count: count\n  slowly\n"), std::string::npos) << run.err;
  EXPECT_NE(run.err.find("writes " + out_), std::string::npos);
  EXPECT_EQ(Sum(), 45);
  const TensorReader reader(out_);
  EXPECT_EQ(reader.header().config, "to: 10\nend: well\npredicted: 0\nstop_at: -1\n");
  EXPECT_EQ(reader.StringAttribute("/run", "command"), "counter count");
}

TEST_F(RunTest, GivesTheSameFileTwiceButForTheRunGroup) {
  Run({"to=10"});
  const std::string digest = ContentDigest(out_);
  Options again;
  again.force = true;
  EXPECT_EQ(Run({"to=10"}, again).code, 0);
  EXPECT_EQ(ContentDigest(out_), digest);
  EXPECT_EQ(Run({"to=11"}, again).code, 0);
  EXPECT_NE(ContentDigest(out_), digest);
}

TEST_F(RunTest, TouchesNothingOnADryRun) {
  Options options;
  options.dry_run = true;
  const testing::RunResult run = Run({}, options);
  EXPECT_EQ(run.code, 0);
  EXPECT_NE(run.err.find("would write " + out_), std::string::npos);
  EXPECT_TRUE(std::filesystem::is_empty(folder_.path()));
}

TEST_F(RunTest, MapsHowItEndsToExitCodes) {
  EXPECT_EQ(Run({"end=memory"}).code, 4);
  const testing::RunResult surprise = Run({"end=surprise"});
  EXPECT_EQ(surprise.code, 1);
  EXPECT_NE(surprise.err.find("counter count: a surprise\n"), std::string::npos);
  EXPECT_FALSE(std::filesystem::exists(out_));
  EXPECT_EQ(Run({"end=no"}).code, 5);
  EXPECT_TRUE(std::filesystem::exists(out_));
  EXPECT_EQ(Run({}).code, 2);  // exists
  EXPECT_EQ(Run({"end=badly"}).code, 2);
  EXPECT_EQ(Run({"too=5"}).code, 2);
}

TEST_F(RunTest, StopsAfterACheckpointAndGoesOn) {
  const testing::RunResult stopped = Run({"to=100", "stop_at=40"});
  EXPECT_EQ(stopped.code, 75) << stopped.err;
  EXPECT_TRUE(std::filesystem::exists(checkpoint_));
  EXPECT_FALSE(std::filesystem::exists(out_));
  EXPECT_EQ(Run({"to=100", "stop_at=40"}).code, 2);  // neither --resume nor --force
  Options resume;
  resume.resume = true;
  EXPECT_EQ(Run({"to=101", "stop_at=40"}, resume).code, 2);  // another config
  resume.seed = 1;
  EXPECT_EQ(Run({"to=100", "stop_at=40"}, resume).code, 2);  // another seed
  resume.seed = 0;
  const testing::RunResult done = Run({"to=100", "stop_at=40"}, resume);
  EXPECT_EQ(done.code, 0) << done.err;
  EXPECT_EQ(Sum(), 4950);
  EXPECT_FALSE(std::filesystem::exists(checkpoint_));
}

TEST_F(RunTest, GoesOnWithTheBuildThatWroteTheCheckpointAlone) {
  EXPECT_EQ(Run({"to=100", "stop_at=40"}).code, 75);
  FileHeader header = TensorReader(checkpoint_).header();
  EXPECT_EQ(header.producer, Producer());
  header.producer = "suffice 0.0.1";
  TensorWriter writer(checkpoint_, header, {.force = true});
  writer.Attribute("/state", "command", std::string("counter count"));
  for (const char* number : {"at", "sum"}) writer.Attribute("/state", number, int64_t{0});
  writer.Commit();
  Options resume;
  resume.resume = true;
  const testing::RunResult run = Run({"to=100", "stop_at=40"}, resume);
  EXPECT_EQ(run.code, 2);
  EXPECT_NE(run.err.find("its producer is suffice 0.0.1, this run's " + Producer() +
                         "; go on with the former, or start over with --force"),
            std::string::npos)
      << run.err;
  EXPECT_TRUE(std::filesystem::exists(checkpoint_));
  Options force;
  force.force = true;
  EXPECT_EQ(Run({"to=100"}, force).code, 0);
}

TEST_F(RunTest, RefusesAPlanBeyondBudgetOrDeadline) {
  Options options;
  options.budget_seconds = 10;
  EXPECT_EQ(Run({"predicted=11"}, options).code, 7);
  EXPECT_EQ(Run({"predicted=9"}, options).code, 0);
  Options deadline;
  deadline.deadline_seconds = 10;
  deadline.force = true;
  EXPECT_EQ(Run({"predicted=11"}, deadline).code, 7);
  EXPECT_EQ(Run({"predicted=9"}, deadline).code, 0);
  Options none;
  none.budget_seconds = 0;
  none.force = true;
  EXPECT_EQ(Run({}, none).code, 7);
}

TEST_F(RunTest, RecordsIntentAndResultFailureStopAndRefusal) {
  const std::string ledger = folder_ / "ledger", keys = folder_ / "keys";
  LedgerWriter::Create(ledger, CreateKeys(keys, "example.org/test"));
  Options options;
  options.ledger = ledger;
  options.keys = keys;
  EXPECT_EQ(Run({"end=surprise"}, options).code, 1);
  EXPECT_EQ(Run({"to=100", "stop_at=3"}, options).code, 75);
  options.resume = true;
  EXPECT_EQ(Run({"to=100", "stop_at=3"}, options).code, 0);
  options.resume = false;
  options.force = true;
  options.budget_seconds = 1;
  EXPECT_EQ(Run({"predicted=2"}, options).code, 7);
  const Verification v = VerifyLedger(ledger, {});
  EXPECT_TRUE(v.verified()) << v.contradictions.front();
  std::string phases;
  for (const Record& record : v.records) phases += record.phase + " ";
  EXPECT_EQ(phases, "intent failure intent stopped intent result refusal ");
  EXPECT_TRUE(v.open_intents.empty());
  EXPECT_EQ(v.records[5].facts.at("sum"), "4950");
  EXPECT_EQ(v.records[5].outputs.at(0).digest, ContentDigest(out_));
  Options keyless;
  keyless.ledger = ledger;
  EXPECT_EQ(Run({}, keyless).code, 2);
}

TEST_F(RunTest, ProgressIsAnObjectALine) {
  Options options;
  options.progress = ProgressMode::kJsonl;
  const testing::RunResult run = Run({"to=3"}, options);
  std::istringstream lines(run.err);
  std::string line, events;
  while (std::getline(lines, line)) {
    const Json json = Json::parse(line);
    EXPECT_EQ(json["command"], "counter count");
    events += json["event"].get<std::string>() + " ";
  }
  EXPECT_EQ(events.substr(0, 10), "plan step ");
}

TEST_F(RunTest, QuietSaysNothingButErrors) {
  Options options;
  options.quiet = true;
  EXPECT_EQ(Run({}, options).err, "");
  EXPECT_NE(Run({}, options).err, "");  // the output exists
}

TEST(Progress, IsNeverSilentForMoreThanFourSeconds) {
  testing::Watcher watcher;
  std::FILE* stream = testing::OpenWatched(&watcher);
  {
    Progress progress("counter count", {}, stream);
    progress.Activity("thinking");
    std::this_thread::sleep_for(std::chrono::milliseconds(3900));
  }
  std::fclose(stream);
  EXPECT_NE(watcher.text.find("counter count: thinking (4 s)"), std::string::npos) << watcher.text;
}

}  // namespace
}  // namespace suffice
