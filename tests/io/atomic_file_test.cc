// SPDX-License-Identifier: Apache-2.0
// What is left of an output when the writer is killed, the disk is full, or the folder is not ours.
#include "lib/io/atomic_file.h"

#include <pwd.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <thread>

#include "tests/io/io_testing.h"

namespace suffice {
namespace {

// Runs `body` in a child process; its exit status, or 128 + the signal that ended it. The child
// prints an Error's message to `message_path`.
int RunChild(const std::string& message_path, const std::function<void()>& body) {
  const pid_t child = fork();
  if (child == 0) {
    try {
      body();
    } catch (const Error& error) {
      WriteBytes(message_path, error.what());
      _exit(static_cast<int>(error.code()));
    } catch (...) {
      _exit(99);
    }
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

size_t FilesIn(const std::filesystem::path& folder) {
  const std::filesystem::directory_iterator all(folder);
  return static_cast<size_t>(std::distance(begin(all), end(all)));
}

TEST(AtomicFile, AppearsOnlyWhenCommitted) {
  const TempFolder folder;
  AtomicFile file(folder / "out.txt");
  file.Write("hello\n");
  EXPECT_FALSE(std::filesystem::exists(folder / "out.txt"));
  EXPECT_EQ(file.temporary(), folder / (".out.txt.tmp." + std::to_string(getpid())));
  file.Commit();
  EXPECT_EQ(ReadBytes(folder / "out.txt"), "hello\n");
  EXPECT_EQ(FilesIn(folder.path()), 1u);
}

TEST(AtomicFile, RefusesWhatExistsAndWhatIsNoFile) {
  const TempFolder folder;
  WriteBytes(folder / "old", "old");
  std::filesystem::create_directory(folder / "dir");
  std::filesystem::create_symlink("old", folder / "link");
  std::filesystem::create_symlink("nothing", folder / "dangling");
  const auto refuse = [&](const std::string& name, bool force) {
    return MessageOf(ExitCode::kUsage, [&] { AtomicFile(name, force); });
  };
  EXPECT_EQ(refuse(folder / "old", false),
            (folder / "old") + ": already exists; --force replaces it");
  EXPECT_EQ(refuse(folder / "dir", true), (folder / "dir") + ": exists and is not a regular file");
  EXPECT_EQ(refuse("/dev/null", true), "/dev/null: exists and is not a regular file");
  refuse(folder / "link", false);
  refuse(folder / "dangling", true);
  refuse("", true);
  AtomicFile through(folder / "link", true);
  through.Write("new");
  through.Commit();
  EXPECT_EQ(ReadBytes(folder / "old"), "new");
  EXPECT_TRUE(std::filesystem::is_symlink(folder / "link"));
}

TEST(AtomicFile, RefusesToReplaceWhatAppearedMeanwhile) {
  const TempFolder folder;
  {
    AtomicFile file(folder / "out");
    WriteBytes(folder / "out", "theirs");
    MessageOf(ExitCode::kUsage, [&] { file.Commit(); });
  }
  EXPECT_EQ(ReadBytes(folder / "out"), "theirs");
  EXPECT_EQ(FilesIn(folder.path()), 1u);
}

TEST(AtomicFile, RemovesTemporariesOfTheDeadAndSparesTheLiving) {
  const TempFolder folder;
  const pid_t dead = fork();
  if (dead == 0) _exit(0);
  waitpid(dead, nullptr, 0);
  const std::string own = folder / (".out.tmp." + std::to_string(getpid()));
  WriteBytes(folder / (".out.tmp." + std::to_string(dead)), "left");
  WriteBytes(own, "left by an earlier process with our PID");
  WriteBytes(folder / (".out.tmp." + std::to_string(getppid())), "of a living process");
  WriteBytes(folder / (".other.tmp." + std::to_string(dead)), "of another output");
  WriteBytes(folder / ".out.tmp.notes", "of nobody");
  {
    AtomicFile file(folder / "out");
    EXPECT_EQ(ReadBytes(own), "");
    MessageOf(ExitCode::kUsage, [&] { AtomicFile(folder / "out"); });
    file.Commit();
  }
  EXPECT_EQ(FilesIn(folder.path()), 4u);
  EXPECT_FALSE(std::filesystem::exists(folder / (".out.tmp." + std::to_string(dead))));
}

TEST(AtomicFile, ASignalHandlerCanUnlinkWhatIsOpen) {
  const TempFolder folder;
  const int status = RunChild(folder / "message", [&] {
    signal(SIGTERM, [](int) {
      UnlinkLiveTemporaries();
      _exit(143);
    });
    AtomicFile a(folder / "a");
    TensorWriter b(folder / "b.h5", ExampleHeader());
    raise(SIGTERM);
  });
  EXPECT_EQ(status, 143);
  EXPECT_EQ(FilesIn(folder.path()), 0u);
}

TEST(AtomicFile, KilledAtAnyMomentTheOldFileStaysOrTheNewOneIsWhole) {
  const TempFolder folder;
  const std::string path = folder / "out.h5";
  WriteExample(path, 50);
  const std::string old_digest = ContentDigest(path);
  const std::string old_bytes = ReadBytes(path);
  WriteExample(folder / "new.h5", 3000);
  const std::string new_digest = ContentDigest(folder / "new.h5");
  std::filesystem::remove(folder / "new.h5");
  int kept = 0;
  int replaced = 0;
  for (int delay = 0; delay < 60; ++delay) {
    const pid_t child = fork();
    if (child == 0) {
      try {
        WriteExample(path, 3000, true);
      } catch (...) {
        _exit(1);
      }
      _exit(0);
    }
    std::this_thread::sleep_for(std::chrono::microseconds(700 * delay));
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    const std::string found = ContentDigest(path);
    EXPECT_TRUE(found == old_digest || found == new_digest) << "killed after step " << delay;
    (found == old_digest ? kept : replaced)++;
    WriteBytes(path, old_bytes);
  }
  EXPECT_GT(kept, 0);
  RecordProperty("kept", kept);
  RecordProperty("replaced", replaced);
  WriteExample(path, 50, true);
  EXPECT_EQ(FilesIn(folder.path()), 1u) << "temporaries of the killed are left";
}

// A child that runs out of room must fail with status 1 and leave the previous output intact.
void ExpectOutOfRoom(const TempFolder& elsewhere, const std::string& folder,
                     const std::function<void()>& limit, const std::string& reason) {
  const std::string path = folder + "/out.h5";
  const std::string before = ReadBytes(path);
  for (const int64_t rows : {20000, 60000}) {
    const int status = RunChild(elsewhere / "message", [&] {
      limit();
      WriteExample(path, rows, true);
    });
    EXPECT_EQ(status, 1) << rows;
    const std::string message = ReadBytes(elsewhere / "message");
    EXPECT_TRUE(message.starts_with(path + ": ")) << message;
    EXPECT_NE(message.find(reason), std::string::npos) << message;
    EXPECT_EQ(ReadBytes(path), before);
    EXPECT_EQ(FilesIn(folder), 1u);
  }
  EXPECT_EQ(ContentDigest(path).size(), 64u);
}

TEST(AtomicFile, AFullDiskFailsAndKeepsThePreviousOutput) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root to mount a small file system";
  const TempFolder folder;
  const std::string disk = folder / "disk";
  std::filesystem::create_directory(disk);
  if (mount("suffice-test", disk.c_str(), "tmpfs", 0, "size=2m") != 0) {
    GTEST_SKIP() << "cannot mount a tmpfs here";
  }
  WriteExample(disk + "/out.h5");
  ExpectOutOfRoom(
      folder, disk, [] {}, "No space left on device");
  // Filled to the last page: the small writes at the end are those that fail.
  const std::string before = ReadBytes(disk + "/out.h5");
  WriteBytes(disk + "/fill", std::string(4 << 20, 'f'));
  for (int free_kib = 0; free_kib <= 480; free_kib += 24) {
    std::filesystem::resize_file(disk + "/fill", (2 << 20) - before.size() / 4096 * 4096 - 4096 -
                                                     static_cast<size_t>(free_kib) * 1024);
    const int status =
        RunChild(folder / "message", [&] { WriteExample(disk + "/out.h5", 500, true); });
    EXPECT_TRUE(status == 1 || status == 0) << free_kib << " KiB free: status " << status;
    if (status == 0) {
      WriteBytes(disk + "/out.h5", before);
    } else {
      EXPECT_EQ(ReadBytes(disk + "/out.h5"), before) << free_kib;
    }
    EXPECT_EQ(FilesIn(disk), 2u);
  }
  umount(disk.c_str());
}

TEST(AtomicFile, AFileSizeLimitFailsAndKeepsThePreviousOutput) {
  const TempFolder folder;
  const TempFolder elsewhere;
  WriteExample(folder / "out.h5");
  const auto limit = [] {
    signal(SIGXFSZ, SIG_IGN);
    const rlimit most = {1 << 20, 1 << 20};
    setrlimit(RLIMIT_FSIZE, &most);
  };
  ExpectOutOfRoom(elsewhere, folder.path().string(), limit, "File too large");
}

TEST(AtomicFile, AReadOnlyFolderFailsByName) {
  const TempFolder folder;
  const TempFolder elsewhere;
  std::filesystem::permissions(elsewhere.path(), std::filesystem::perms::all);
  WriteExample(folder / "out.h5");
  std::filesystem::permissions(folder.path(), static_cast<std::filesystem::perms>(0555));
  const passwd* nobody = getpwnam("nobody");
  ASSERT_NE(nobody, nullptr);
  const int status = RunChild(elsewhere / "message", [&] {
    if (geteuid() == 0 && setuid(nobody->pw_uid) != 0) _exit(98);
    WriteExample(folder / "out.h5", 10, true);
  });
  std::filesystem::permissions(folder.path(), std::filesystem::perms::owner_all);
  EXPECT_EQ(status, 1);
  EXPECT_EQ(ReadBytes(elsewhere / "message"),
            (folder / "out.h5") + ": cannot be replaced: Permission denied");
}

}  // namespace
}  // namespace suffice
