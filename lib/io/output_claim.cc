// SPDX-License-Identifier: Apache-2.0
#include "lib/io/output_claim.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string_view>

#include "lib/base/error.h"

namespace suffice {
namespace {

std::string LockOf(const std::string& path) {
  const size_t name = path.rfind('/') == std::string::npos ? 0 : path.rfind('/') + 1;
  return path.substr(0, name) + "." + path.substr(name) + ".lock";
}

// Whether `path` still names the open file: its holder may have removed it before we locked it.
bool StillNamed(int fd, const std::string& path) {
  struct stat open_file = {}, named = {};
  return fstat(fd, &open_file) == 0 && stat(path.c_str(), &named) == 0 &&
         open_file.st_dev == named.st_dev && open_file.st_ino == named.st_ino;
}

std::string Holder(int fd) {
  std::array<char, 256> text;
  const ssize_t bytes = pread(fd, text.data(), text.size(), 0);
  return bytes > 0 ? std::string(text.data(), static_cast<size_t>(bytes)) : "another process";
}

}  // namespace

bool TryLock(int fd) {
  struct flock lock = {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  return fcntl(fd, F_OFD_SETLK, &lock) == 0;
}

OutputClaim::OutputClaim(const std::string& path) : lock_(LockOf(path)) {
  for (;;) {
    UniqueFd fd(open(lock_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666));
    if (!fd.valid()) throw ErrnoError(path, "cannot be claimed");
    if (!TryLock(fd.get())) {
      if (errno == EAGAIN || errno == EACCES)
        throw UsageError("{}: is being written by {}", path, Holder(fd.get()));
      return;  // no locks here
    }
    if (!StillNamed(fd.get(), lock_)) continue;
    std::array<char, 128> host = {};
    gethostname(host.data(), host.size() - 1);
    const std::string holder = fmt::format("process {} on {}", getpid(), host.data());
    // For the message alone: a full disk must not keep anyone from working.
    if (ftruncate(fd.get(), 0) == 0 && pwrite(fd.get(), holder.data(), holder.size(), 0) < 0)
      errno = 0;
    fd_ = std::move(fd);
    return;
  }
}

OutputClaim::~OutputClaim() {
  if (held()) unlink(lock_.c_str());
}

}  // namespace suffice
