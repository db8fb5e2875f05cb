// SPDX-License-Identifier: Apache-2.0
#include "lib/io/text_file.h"

#include <sys/stat.h>

#include <thread>

#include "tests/io/io_testing.h"

namespace suffice {
namespace {

TEST(TextFile, WritesFilesWholeAndStandardOutputAtOnce) {
  const TempFolder folder;
  WriteText(folder / "a.tsv", "x\ty\n");
  EXPECT_EQ(ReadText(folder / "a.tsv"), "x\ty\n");
  MessageOf(ExitCode::kUsage, [&] { WriteText(folder / "a.tsv", "z"); });
  WriteText(folder / "a.tsv", "z", true);
  EXPECT_EQ(ReadText(folder / "a.tsv"), "z");
  testing::internal::CaptureStdout();
  WriteText("-", "to the pipe\n");
  EXPECT_EQ(testing::internal::GetCapturedStdout(), "to the pipe\n");
}

TEST(TextFile, WritesDevicesAndFifosWithoutReplacingThem) {
  WriteText("/dev/null", "gone");
  EXPECT_TRUE(std::filesystem::is_character_file("/dev/null"));
  const std::string message = MessageOf(ExitCode::kFailed, [] { WriteText("/dev/full", "x"); });
  EXPECT_EQ(message, "/dev/full: cannot be written: No space left on device");
  const TempFolder folder;
  const std::string fifo = folder / "fifo";
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  std::string got;
  std::thread reader([&] { got = ReadText(fifo); });
  WriteText(fifo, "through");
  reader.join();
  EXPECT_EQ(got, "through");
}

TEST(TextFile, RefusesInputsByName) {
  const TempFolder folder;
  EXPECT_EQ(MessageOf(ExitCode::kData, [&] { ReadText(folder / "absent"); }),
            (folder / "absent") + ": No such file or directory");
  EXPECT_EQ(MessageOf(ExitCode::kData, [&] { ReadText(folder.path().string()); }),
            folder.path().string() + ": Is a directory");
  WriteBytes(folder / "long", std::string(100, 'x'));
  EXPECT_EQ(MessageOf(ExitCode::kData, [&] { ReadText(folder / "long", 99); }),
            (folder / "long") + ": larger than 99 bytes");
  EXPECT_EQ(ReadText(folder / "long", 100).size(), 100u);
}

}  // namespace
}  // namespace suffice
