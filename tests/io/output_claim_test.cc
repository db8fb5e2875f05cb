// SPDX-License-Identifier: Apache-2.0
#include "lib/io/output_claim.h"

#include <sys/wait.h>
#include <unistd.h>

#include "tests/io/io_testing.h"

namespace suffice {
namespace {

TEST(OutputClaim, HoldsANameAgainstOthersUntilItEnds) {
  const TempFolder folder;
  const std::string path = folder / "out.h5", lock = folder / ".out.h5.lock";
  {
    const OutputClaim claim(path);
    ASSERT_TRUE(claim.held());
    EXPECT_TRUE(std::filesystem::exists(lock));
    const OutputClaim other(folder / "other.h5");  // another name is free
    try {
      const OutputClaim second(path);
      FAIL() << "claimed twice";
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ExitCode::kUsage);
      const std::string message = e.what();
      EXPECT_TRUE(message.starts_with(path + ": is being written by process " +
                                      std::to_string(getpid()) + " on "))
          << message;
    }
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
  const OutputClaim again(path);
  EXPECT_TRUE(again.held());
}

TEST(OutputClaim, TakesOverWhatAKilledProcessLeft) {
  const TempFolder folder;
  const std::string path = folder / "out.h5";
  const pid_t child = fork();
  if (child == 0) {
    const OutputClaim claim(path);
    _exit(claim.held() ? 0 : 1);  // no destructor runs
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_EQ(status, 0);
  EXPECT_TRUE(std::filesystem::exists(folder / ".out.h5.lock"));
  { const OutputClaim claim(path); }
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

TEST(OutputClaim, NamesAFolderThatCannotBeWritten) {
  try {
    const OutputClaim claim("/nowhere/out.h5");
    FAIL() << "claimed";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ExitCode::kFailed);
    EXPECT_NE(std::string(e.what()).find("/nowhere/out.h5: cannot be claimed"), std::string::npos);
  }
}

}  // namespace
}  // namespace suffice
