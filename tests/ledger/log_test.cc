// SPDX-License-Identifier: Apache-2.0
#include "lib/ledger/log.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <set>

#include "lib/ledger/record.h"
#include "lib/ledger/verify.h"
#include "tests/io/io_testing.h"

namespace suffice {
namespace {

namespace fs = std::filesystem;

class LogTest : public ::testing::Test {
 protected:
  LogTest() { LedgerWriter::Create(ledger_, keys_); }
  LedgerKeys Keys() const { return LoadKeys(folder_ / "keys"); }
  LogContents Read() const { return ReadLog(ledger_, Keys().log.public_key()); }

  uint64_t AppendNote(LedgerWriter& writer, const std::string& message) const {
    return writer.Append([&](uint64_t index, const Hash& previous) {
      Record record;
      record.seq = index;
      record.previous = previous;
      record.phase = "note";
      record.run_id = NewRunId();
      record.message = message;
      return ToJson(record);
    });
  }

  TempFolder folder_;
  std::string ledger_ = folder_ / "ledger";
  LedgerKeys keys_ = CreateKeys(folder_ / "keys", "example.org/test");
};

TEST_F(LogTest, IsEmptyAtFirst) {
  const LogContents log = Read();
  EXPECT_EQ(log.checkpoint.size, 0u);
  EXPECT_EQ(Hex(log.checkpoint.root),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_TRUE(log.entries.empty());
  MessageOf(ExitCode::kUsage, [&] { LedgerWriter::Create(ledger_, Keys()); });
}

TEST_F(LogTest, SixHundredEntriesFillTilesAndLeaveOnePartOfEach) {
  LedgerWriter writer(ledger_, Keys());
  for (uint64_t i = 0; i < 600; ++i) EXPECT_EQ(AppendNote(writer, std::to_string(i)), i);
  const LogContents log = Read();
  ASSERT_EQ(log.entries.size(), 600u);
  EXPECT_EQ(TreeHash(log.leaves), log.checkpoint.root);
  std::set<std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(fs::path(ledger_) / "tile")) {
    if (entry.is_regular_file()) files.insert(fs::relative(entry.path(), ledger_).string());
  }
  EXPECT_EQ(files, (std::set<std::string>{"tile/0/000", "tile/0/001", "tile/0/002.p/88",
                                          "tile/1/000.p/2", "tile/entries/000", "tile/entries/001",
                                          "tile/entries/002.p/88"}));
  const Verification v = VerifyLedger(ledger_, {});
  EXPECT_TRUE(v.verified()) << v.contradictions.front();
  ASSERT_EQ(v.records.size(), 600u);
  EXPECT_EQ(v.records[599].message, "599");
  EXPECT_EQ(v.records[599].previous, log.leaves[598]);
}

TEST_F(LogTest, FourProcessesAtOnceLoseNothing) {
  constexpr int kProcesses = 4, kEach = 30;
  std::vector<pid_t> children;
  for (int p = 0; p < kProcesses; ++p) {
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      try {
        LedgerWriter writer(ledger_, Keys());
        for (int i = 0; i < kEach; ++i) AppendNote(writer, fmt::format("{}.{}", p, i));
        _exit(0);
      } catch (const std::exception&) {
        _exit(1);
      }
    }
    children.push_back(child);
  }
  for (const pid_t child : children) {
    int status = -1;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
  }
  const Verification v = VerifyLedger(ledger_, {});
  EXPECT_TRUE(v.verified()) << v.contradictions.front();
  std::map<char, int> next;  // each writer's own order is kept
  for (const Record& record : v.records) {
    EXPECT_EQ(record.message.substr(2), std::to_string(next[record.message[0]]++));
  }
  EXPECT_EQ(v.records.size(), size_t{kProcesses * kEach});
}

// A crash after the new tiles and before the new checkpoint: both sizes' tiles are there.
TEST_F(LogTest, ACrashBeforeTheCheckpointLeavesTheOldLog) {
  LedgerWriter writer(ledger_, Keys());
  for (int i = 0; i < 3; ++i) AppendNote(writer, "kept");
  fs::copy(ledger_, folder_ / "before", fs::copy_options::recursive);
  AppendNote(writer, "lost");
  fs::copy(folder_ / "before", ledger_,
           fs::copy_options::recursive | fs::copy_options::overwrite_existing);
  EXPECT_TRUE(VerifyLedger(ledger_, {}).verified());
  EXPECT_EQ(AppendNote(writer, "next"), 3u);
  const Verification v = VerifyLedger(ledger_, {});
  EXPECT_TRUE(v.verified()) << v.contradictions.front();
  ASSERT_EQ(v.records.size(), 4u);
  EXPECT_EQ(v.records.back().message, "next");
}

TEST_F(LogTest, RefusesOtherKeysAndAnEntryThatIsTooLong) {
  CreateKeys(folder_ / "others", "example.org/test");
  MessageOf(ExitCode::kCheckFailed, [&] { LedgerWriter(ledger_, LoadKeys(folder_ / "others")); });
  LedgerWriter writer(ledger_, Keys());
  EXPECT_THROW(writer.Append([](uint64_t, const Hash&) { return std::string(60'000, 'x'); }),
               Error);
  EXPECT_EQ(Read().entries.size(), 0u);
  MessageOf(ExitCode::kData, [&] { LedgerWriter(folder_ / "nowhere", Keys()); });
}

TEST(Record, ComesBackAndBoundsWhatIsLong) {
  Record record;
  StampRecord(&record);
  record.seq = 7;
  record.previous = Sha256Of("before");
  record.phase = "result";
  record.run_id = NewRunId();
  record.tool = "sparsify";
  record.verb = "mask";
  record.argv = {"sparsify", "mask", "bad \xFF byte"};
  record.config = "k: 0.1\n";
  record.inputs = {{"qkv", "q.h5", std::string(64, 'a')}};
  record.outputs = {{"output", "mask.h5", ""}};
  record.seed = 3;
  record.seconds = 1.5;
  record.exit_code = 5;
  record.facts = {{"density", "0.5"}};
  const Record read = ParseRecord(ToJson(record), "entry 7");
  EXPECT_EQ(read.seq, 7u);
  EXPECT_EQ(read.previous, record.previous);
  EXPECT_EQ(read.inputs, record.inputs);
  EXPECT_EQ(read.outputs, record.outputs);
  EXPECT_EQ(read.facts, record.facts);
  EXPECT_EQ(read.exit_code, 5);
  EXPECT_EQ(read.seed, 3);
  EXPECT_EQ(read.wall_time, record.wall_time);
  for (int i = 0; i < 5000; ++i) {
    record.inputs.push_back({"sources", fmt::format("folder/{}.png", i), std::string(64, 'b')});
    record.argv.push_back(fmt::format("folder/{}.png", i));
  }
  record.config = std::string(100'000, 'c');
  record.message = std::string(100'000, 'm');
  const std::string json = ToJson(record);
  EXPECT_LT(4 * json.size() / 3 + 500, kMaxEntryBytes);  // in base64, in its envelope
  EXPECT_EQ(ParseRecord(json, "entry 7").message.size(), 4000u);
  MessageOf(ExitCode::kCheckFailed, [&] { ParseRecord("{}", "entry 7"); });
  MessageOf(ExitCode::kCheckFailed, [&] { ParseRecord("", "entry 7"); });
}

}  // namespace
}  // namespace suffice
