// SPDX-License-Identifier: Apache-2.0
#include "lib/io/child_process.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "lib/base/error.h"

extern char** environ;

namespace suffice {

ChildProcess::ChildProcess(const std::vector<std::string>& argv, const char* package,
                           const ChildWiring& wiring) {
  const char* program = argv[0].c_str();
  // Standard error goes to memory, not to a pipe that somebody would have to empty meanwhile.
  error_ = UniqueFd(memfd_create("stderr", MFD_CLOEXEC));
  bool wired = error_.valid();
  UniqueFd its_in;
  UniqueFd its_out;
  int ends[2] = {-1, -1};
  if (wired && wiring.feed) {
    wired = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0;
    if (wired) in_ = UniqueFd(ends[0]), its_in = UniqueFd(ends[1]);
  }
  if (wired && wiring.drain) {
    wired = pipe2(ends, O_CLOEXEC) == 0;
    if (wired) out_ = UniqueFd(ends[0]), its_out = UniqueFd(ends[1]);
  }
  if (!wired) throw ErrnoError(program, "cannot be started");
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  const auto wire = [&](const UniqueFd& end, int as, int null_mode) {
    if (end.valid()) {
      posix_spawn_file_actions_adddup2(&actions, end.get(), as);
    } else {
      posix_spawn_file_actions_addopen(&actions, as, "/dev/null", null_mode, 0);
    }
  };
  wire(its_in, STDIN_FILENO, O_RDONLY);
  wire(its_out, STDOUT_FILENO, O_WRONLY);
  wire(error_, STDERR_FILENO, O_WRONLY);
  // Last: any of the ends above may be our descriptor 3.
  if (wiring.extra_fd >= 0) posix_spawn_file_actions_adddup2(&actions, wiring.extra_fd, 3);
  std::vector<char*> words;
  for (const std::string& word : argv) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  const int failed = posix_spawnp(&pid_, program, &actions, nullptr, words.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (failed == 0) return;
  pid_ = -1;
  if (failed == ENOENT) {
    throw DeviceError("{}: not found in PATH; Debian's package {} has it", program, package);
  }
  throw RunError("{}: cannot be started: {}", program, std::strerror(failed));
}

ChildProcess::~ChildProcess() {
  if (pid_ <= 0) return;
  kill(pid_, SIGKILL);
  Wait();
}

bool ChildProcess::Feed(const void* data, size_t bytes) {
  const char* next = static_cast<const char*>(data);
  while (bytes > 0) {
    const ssize_t sent = send(in_.get(), next, bytes, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) return false;
    next += sent;
    bytes -= static_cast<size_t>(sent);
  }
  return true;
}

void ChildProcess::CloseFeed() { in_.Close(); }

int ChildProcess::Wait() {
  SUFFICE_CHECK(pid_ > 0);
  int status = 0;
  while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

std::string ChildProcess::LastErrorLine() {
  std::string text(4096, '\0');
  const off_t end = lseek(error_.get(), 0, SEEK_END);
  const off_t from = std::max<off_t>(0, end - static_cast<off_t>(text.size()));
  const ssize_t got = pread(error_.get(), text.data(), text.size(), from);
  text.resize(got < 0 ? 0 : static_cast<size_t>(got));
  const size_t last = text.find_last_not_of("\r\n \t");
  if (last == std::string::npos) return "it gave no reason";
  text.resize(last + 1);
  const size_t line = text.find_last_of("\r\n");
  return line == std::string::npos ? text : text.substr(line + 1);
}

}  // namespace suffice
