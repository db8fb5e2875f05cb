// SPDX-License-Identifier: Apache-2.0
#include "lib/io/atomic_file.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>

#include "lib/base/error.h"
#include "lib/io/output_claim.h"

namespace suffice {
namespace {

// Temporaries that a signal handler can find. Paths live in static storage: a handler may run while
// another thread destroys the AtomicFile.
struct Slot {
  std::atomic<bool> taken{false};
  std::atomic<bool> live{false};
  char path[PATH_MAX];
};
std::array<Slot, 64> slots;

int Register(const std::string& path) {
  if (path.size() >= PATH_MAX) return -1;
  for (size_t i = 0; i < slots.size(); ++i) {
    if (slots[i].taken.exchange(true)) continue;
    std::memcpy(slots[i].path, path.c_str(), path.size() + 1);
    slots[i].live = true;
    return static_cast<int>(i);
  }
  return -1;
}

void Unregister(int slot) {
  if (slot < 0) return;
  slots[static_cast<size_t>(slot)].live = false;
  slots[static_cast<size_t>(slot)].taken = false;
}

// Stale: its process is gone (or had our own PID), and nobody, here or on another host that shares
// the folder, holds its lock.
bool IsStale(const std::string& temporary, pid_t pid) {
  if (pid != getpid() && (kill(pid, 0) == 0 || errno != ESRCH)) return false;
  const int fd = open(temporary.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) return false;
  const bool locked_elsewhere = !TryLock(fd) && (errno == EAGAIN || errno == EACCES);
  close(fd);
  return !locked_elsewhere;
}

// Where the temporaries of a file lie, and how their names begin.
struct Place {
  std::string folder, prefix;
};

Place PlaceOf(const std::string& target) {
  const size_t slash = target.rfind('/');
  return {slash == std::string::npos ? "."
          : slash == 0               ? "/"
                                     : target.substr(0, slash),
          "." + (slash == std::string::npos ? target : target.substr(slash + 1)) + ".tmp."};
}

void RemoveStale(const Place& place) {
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(place.folder, ignored)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with(place.prefix)) continue;
    pid_t pid = 0;
    const char* end = name.data() + name.size();
    const auto [parsed, error] = std::from_chars(name.data() + place.prefix.size(), end, pid);
    if (error != std::errc() || parsed != end || pid <= 0) continue;
    const std::string path = place.folder + "/" + name;
    if (IsStale(path, pid)) unlink(path.c_str());
  }
}

// The file that `path` names once its symbolic links are followed.
std::string Resolve(const std::string& path) {
  struct stat info = {};
  if (lstat(path.c_str(), &info) != 0 || !S_ISLNK(info.st_mode)) return path;
  const std::unique_ptr<char, void (*)(void*)> real(realpath(path.c_str(), nullptr), &std::free);
  if (!real) throw UsageError("{}: is a symbolic link to nothing", path);
  return real.get();
}

}  // namespace

void CheckOutput(const std::string& path, bool force) {
  if (path.empty() || path.ends_with('/')) throw UsageError("'{}': is not a file's name", path);
  struct stat info = {};
  if (lstat(path.c_str(), &info) != 0) {
    if (access(PlaceOf(path).folder.c_str(), W_OK | X_OK) != 0) {
      throw ErrnoError(path, "cannot be created");
    }
    return;
  }
  if (S_ISLNK(info.st_mode) && stat(path.c_str(), &info) != 0) {
    throw UsageError("{}: is a symbolic link to nothing", path);
  }
  if (!S_ISREG(info.st_mode)) throw UsageError("{}: exists and is not a regular file", path);
  if (!force) throw UsageError("{}: already exists; --force replaces it", path);
  if (access(PlaceOf(Resolve(path)).folder.c_str(), W_OK | X_OK) != 0) {
    throw ErrnoError(path, "cannot be replaced");
  }
}

void RemoveStaleTemporaries(const std::string& path) { RemoveStale(PlaceOf(Resolve(path))); }

void WriteAll(int fd, const void* data, size_t bytes, const std::string& path) {
  const char* next = static_cast<const char*>(data);
  while (bytes > 0) {
    const ssize_t written = write(fd, next, bytes);
    if (written < 0) {
      if (errno == EINTR) continue;
      throw ErrnoError(path, "cannot be written");
    }
    next += written;
    bytes -= static_cast<size_t>(written);
  }
}

AtomicFile::AtomicFile(const std::string& path, bool force) : path_(path), force_(force) {
  CheckOutput(path, force);
  target_ = Resolve(path);
  const Place place = PlaceOf(target_);
  RemoveStale(place);
  folder_ = place.folder;
  temporary_ = place.folder + "/" + place.prefix + std::to_string(getpid());
  fd_ = open(temporary_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (fd_ < 0) {
    if (errno == EEXIST) throw UsageError("{}: is already being written", path_);
    throw ErrnoError(path_, "cannot be created");
  }
  TryLock(fd_);  // where the file system has no locks, the PID in the name has to do
  slot_ = Register(temporary_);
}

AtomicFile::~AtomicFile() { Discard(); }

void AtomicFile::Write(const void* data, size_t bytes) { WriteAll(fd_, data, bytes, path_); }

void AtomicFile::Commit() {
  SUFFICE_CHECK(fd_ >= 0);
  if (fsync(fd_) != 0) throw ErrnoError(path_, "cannot be flushed to the disk");
  int renamed = -1;
  if (!force_) {
    renamed = renameat2(AT_FDCWD, temporary_.c_str(), AT_FDCWD, target_.c_str(), RENAME_NOREPLACE);
    if (renamed != 0 && errno == EEXIST) {
      throw UsageError("{}: was made by someone else meanwhile; --force replaces it", path_);
    }
  }
  if (renamed != 0) {  // --force, or a file system that cannot refuse to replace by itself
    CheckOutput(target_, force_);
    if (rename(temporary_.c_str(), target_.c_str()) != 0) {
      throw ErrnoError(path_, "cannot be renamed into place");
    }
  }
  Unregister(slot_);
  slot_ = -1;
  close(fd_);
  fd_ = -1;
  // The rename is done; a folder that cannot be flushed (some network file systems) is no failure.
  const int folder = open(folder_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder >= 0) {
    fsync(folder);
    close(folder);
  }
}

void AtomicFile::Discard() noexcept {
  if (fd_ < 0) return;
  unlink(temporary_.c_str());
  // Whoever else holds the file open (libhdf5 with unwritten buffers) must not hold its space.
  if (ftruncate(fd_, 0) != 0) errno = 0;
  Unregister(slot_);
  slot_ = -1;
  close(fd_);
  fd_ = -1;
}

void UnlinkLiveTemporaries() noexcept {
  for (Slot& slot : slots) {
    if (slot.live) unlink(slot.path);
  }
}

}  // namespace suffice
