// SPDX-License-Identifier: Apache-2.0
// Which curves the report shows, and what it says of those it does not.
#include "lib/audit/curves.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "lib/base/digest.h"
#include "lib/io/text_file.h"
#include "lib/policy/loss_curve.h"
#include "tests/io/io_testing.h"

namespace suffice::audit {
namespace {

class Curves : public ::testing::Test {
 protected:
  Curves() { std::filesystem::create_directory(folder / "ledger"); }

  // A training whose curve is c.tsv with this text.
  Record Training(const std::string& text, const std::string& verb = "sparse") {
    WriteText(folder / "c.tsv", text, true);
    Record record;
    record.seq = 3;
    record.phase = "result";
    record.tool = "distill";
    record.verb = verb;
    record.outputs = {{"output", "../m.h5", ""}, {"curve", "../c.tsv", Hex(Sha256Of(text))}};
    return record;
  }
  std::string Html(const std::vector<Record>& records) {
    return LossCurves(folder / "ledger", records);
  }
  bool Draws(const std::string& html) { return Says(html, "class=\"line\""); }
  bool Says(const std::string& html, const std::string& part) {
    return html.find(part) != std::string::npos;
  }
  const std::string tsv = CurveTsv({{1, 0.5, 1, 0.1}, {2, 0.25, 1, 0.1}, {3, 0.3, 1, 0.1}});
  TempFolder folder;
};

TEST_F(Curves, AreOfEveryVerbThatTrainsAndOfNoOther) {
  for (const char* verb : {"pretrain", "sparse", "classify"})
    EXPECT_TRUE(Draws(Html({Training(tsv, verb)}))) << verb;
  EXPECT_EQ(Html({Training(tsv, "merge")}), "");
  Record other = Training(tsv), intent = Training(tsv);
  other.tool = "generate";
  intent.phase = "intent";
  EXPECT_EQ(Html({other, intent}), "");
  intent.seq = 2;
  EXPECT_TRUE(Says(Html({intent, Training(tsv)}), "distill sparse: ../m.h5 (record 2)"));
}

TEST_F(Curves, HaveTheHeldOutLossOfTheRecord) {
  Record record = Training(tsv);
  EXPECT_FALSE(Says(Html({record}), "held"));
  record.facts["held-out loss"] = "0.40000 [0.30000, 0.50000]";
  EXPECT_TRUE(Says(Html({record}), "class=\"level\"") && Says(Html({record}), ">held out: 0.4<"))
      << Html({record});
  for (const char* text : {"nan [nan, nan]", "0.4", ""}) {
    record.facts["held-out loss"] = text;
    EXPECT_TRUE(Draws(Html({record})) && !Says(Html({record}), "class=\"level\"")) << text;
  }
}

TEST_F(Curves, OfAnotherFileThanTheRecordedOneAreNotDrawn) {
  const Record record = Training(tsv);
  WriteText(folder / "c.tsv", tsv + "4\t0.2\t1\t0.1\n", true);
  EXPECT_TRUE(Says(Html({record}), "../c.tsv is not the file of the record")) << Html({record});
  EXPECT_FALSE(Draws(Html({record})));
  std::filesystem::remove(folder / "c.tsv");
  EXPECT_TRUE(Says(Html({record}), "../c.tsv is missing")) << Html({record});
  EXPECT_FALSE(Draws(Html({record})));
}

TEST_F(Curves, ThatNobodyAskedForOrThatAreNoneAreSaidToBeSo) {
  Record record = Training(tsv);
  record.outputs.pop_back();
  EXPECT_TRUE(Says(Html({record}), "was not asked for")) << Html({record});
  record.phase = "stopped";
  record.exit_code = 75;
  EXPECT_TRUE(Says(Html({record}), "ended with stopped (75)")) << Html({record});
  for (const std::string& text : {std::string("a\tb\n1\t2\n"), CurveTsv({}), tsv + "4\t0.2\t1\n",
                                  tsv + "2\t0.2\t1\t0.1\n", CurveTsv({{1, NAN, 1, 1}})}) {
    const std::string html = Html({Training(text)});
    EXPECT_TRUE(!Draws(html) && Says(html, "No loss curve: ")) << text << html;
  }
}

TEST_F(Curves, GiveBackWhatWasWritten) {
  const std::vector<LossPoint> curve = ParseCurve(tsv, "c.tsv");
  ASSERT_EQ(curve.size(), 3u);
  EXPECT_EQ(curve[1].step, 2);
  EXPECT_EQ(curve[1].loss, 0.25);
  EXPECT_EQ(curve[1].gradient_norm, 1);
  EXPECT_EQ(curve[1].lr, 0.1);
  EXPECT_EQ(CurveTsv(curve), tsv);
}

}  // namespace
}  // namespace suffice::audit
