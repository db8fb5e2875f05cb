// SPDX-License-Identifier: Apache-2.0
#include "lib/io/text_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "lib/base/error.h"

namespace suffice {
namespace {

bool IsDeviceOrFifo(const std::string& path) {
  struct stat info = {};
  return stat(path.c_str(), &info) == 0 && (S_ISCHR(info.st_mode) || S_ISFIFO(info.st_mode));
}

}  // namespace

OutputStream::OutputStream(const std::string& path, bool force)
    : name_(path == "-" ? "standard output" : path) {
  if (path == "-") return;
  if (IsDeviceOrFifo(path)) {
    direct_fd_ = open(path.c_str(), O_WRONLY | O_CLOEXEC);
    if (direct_fd_ < 0) throw ErrnoError(path, "cannot be opened for writing");
    return;
  }
  file_ = std::make_unique<AtomicFile>(path, force);
}

OutputStream::~OutputStream() {
  if (direct_fd_ >= 0) close(direct_fd_);
}

OutputStream::OutputStream(OutputStream&& other) noexcept
    : name_(std::move(other.name_)),
      file_(std::move(other.file_)),
      direct_fd_(std::exchange(other.direct_fd_, -1)) {}

void OutputStream::Write(const void* data, size_t bytes) {
  if (file_) {
    file_->Write(data, bytes);
  } else if (direct_fd_ >= 0) {
    WriteAll(direct_fd_, data, bytes, name_);
  } else if (std::fwrite(data, 1, bytes, stdout) != bytes) {
    throw ErrnoError(name_, "cannot be written");
  }
}

void OutputStream::Commit() {
  if (file_) {
    file_->Commit();
  } else if (direct_fd_ < 0 && std::fflush(stdout) != 0) {
    throw ErrnoError(name_, "cannot be written");
  }
}

void WriteText(const std::string& path, std::string_view text, bool force) {
  OutputStream stream(path, force);
  stream.Write(text);
  stream.Commit();
}

std::string ReadText(const std::string& path, uint64_t max_bytes) {
  const bool standard = path == "-";
  const std::string name = standard ? "standard input" : path;
  const int fd = standard ? STDIN_FILENO : open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) throw DataError("{}: {}", name, std::strerror(errno));
  std::string text;
  char buffer[1 << 16];
  ssize_t got = 0;
  while (text.size() <= max_bytes) {
    got = read(fd, buffer, sizeof(buffer));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    text.append(buffer, static_cast<size_t>(got));
  }
  const int reason = got < 0 ? errno : 0;
  if (!standard) close(fd);
  if (reason != 0) throw DataError("{}: {}", name, std::strerror(reason));
  if (text.size() > max_bytes) throw DataError("{}: larger than {} bytes", name, max_bytes);
  return text;
}

}  // namespace suffice
