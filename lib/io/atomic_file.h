// SPDX-License-Identifier: Apache-2.0
// Outputs that appear whole or not at all.
//
// A file NAME is written as .NAME.tmp.PID in the same folder, flushed to the disk, renamed to
// NAME, and the folder is flushed. Killed at any moment, the process leaves the old NAME or
// the new one. The temporary is unlinked on failure; what a killed process left is removed by
// the next writer of the same NAME, which tells a live temporary by the lock on it (by its PID
// where there are no locks).
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace suffice {

class AtomicFile {
 public:
  // Throws kUsage when `path` exists and `force` is not set, or is something other than a file; and
  // kFailed when the folder cannot be written. A symbolic link is followed.
  explicit AtomicFile(const std::string& path, bool force = false);
  ~AtomicFile();  // without Commit: the temporary is unlinked
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  const std::string& path() const { return path_; }  // as the user wrote it, for messages
  const std::string& temporary() const { return temporary_; }
  int fd() const { return fd_; }

  void Write(const void* data, size_t bytes);
  void Write(std::string_view text) { Write(text.data(), text.size()); }
  void Commit();
  // Gives the temporary's space back and unlinks it; the file at `path` stays as it was.
  void Discard() noexcept;

 private:
  std::string path_;
  std::string target_;  // path_ with its symbolic link resolved
  std::string folder_;
  std::string temporary_;
  bool force_;
  int fd_ = -1;
  int slot_ = -1;
};

// kUsage when `path` exists and may not be replaced, kFailed when its folder is missing or may not
// be written: for a plan that is made long before the output is opened.
void CheckOutput(const std::string& path, bool force);

// What killed writers of `path` left behind, for who is not going to write it now.
void RemoveStaleTemporaries(const std::string& path);

// Unlinks every temporary that this process has open. For a signal handler that is about to end the
// process: calls nothing but unlink(2).
void UnlinkLiveTemporaries() noexcept;

// write(2) until all is written; throws kFailed naming `path`.
void WriteAll(int fd, const void* data, size_t bytes, const std::string& path);

}  // namespace suffice
