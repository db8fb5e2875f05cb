// SPDX-License-Identifier: Apache-2.0
// Damaged inputs from a seed, and a child process that survives what they do to a reader.
#pragma once

#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>

#include "lib/base/philox.h"

namespace suffice {

// A damaged copy of `bytes`: flips, overwritten runs, splices of the file with itself, cuts,
// insertions or growth, one to four of them. The same seed gives the same copy.
inline std::string Mutate(std::string bytes, uint64_t seed) {
  uint64_t draws = 0;
  const auto draw = [&](size_t below) -> size_t {
    const auto block = Philox(seed, static_cast<uint32_t>(Stream::kTest), draws++);
    return below == 0 ? 0 : (uint64_t{block[0]} << 32 | block[1]) % below;
  };
  const auto run_at = [&](size_t from) {
    return std::min(bytes.size() - from, 1 + draw(draw(4) == 0 ? 4096 : 16));
  };
  for (size_t damage = 1 + draw(4); damage > 0 && !bytes.empty(); --damage) {
    const size_t at = draw(bytes.size());
    switch (draw(8)) {
      case 0:
      case 1:
        bytes[at] = static_cast<char>(bytes[at] ^ 1 << draw(8));
        break;
      case 2:
        bytes[at] = static_cast<char>(draw(256));
        break;
      case 3: {
        const char fill = "\x00\xff\x7f\x80"[draw(4)];
        std::fill_n(bytes.begin() + static_cast<std::ptrdiff_t>(at), run_at(at), fill);
        break;
      }
      case 4: {  // splice: a run of the file over another place of it
        const size_t from = draw(bytes.size());
        const size_t run = std::min(run_at(from), bytes.size() - at);
        bytes.replace(at, run, bytes.substr(from, run));
        break;
      }
      case 5:
        bytes.resize(at);
        break;
      case 6:
        bytes.insert(at, bytes.substr(draw(bytes.size()), 1 + draw(64)));
        break;
      case 7:
        bytes.erase(at, 1 + draw(64));
        break;
    }
  }
  return bytes;
}

// Calls body(seed) for each seed in [0, count), in child processes with 2 GiB of memory and 20
// seconds for each batch of 100. The body returns what is wrong, or nothing. `report` is called
// here, in the parent, for each seed that went wrong, crashed or hung.
inline void RunGuarded(uint64_t count, const std::function<std::string(uint64_t)>& body,
                       const std::function<void(uint64_t, const std::string&)>& report) {
  struct Shared {
    uint64_t seed;
    char problem[1024];
  };
  auto* shared = static_cast<Shared*>(
      mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  if (shared == MAP_FAILED) std::abort();
  uint64_t next = 0;
  while (next < count) {
    const uint64_t end = std::min(count, next + 100);
    shared->seed = next;
    shared->problem[0] = '\0';
    const pid_t child = fork();
    if (child == 0) {
      alarm(20);
      const rlimit no_core = {0, 0};
      setrlimit(RLIMIT_CORE, &no_core);
#ifndef __SANITIZE_ADDRESS__  // which reserves terabytes of addresses for itself
      const rlimit memory = {rlim_t{2} << 30, rlim_t{2} << 30};
      setrlimit(RLIMIT_AS, &memory);
#endif
      for (; shared->seed < end; ++shared->seed) {
        const std::string problem = body(shared->seed);
        if (problem.empty()) continue;
        std::strncpy(shared->problem, problem.c_str(), sizeof(shared->problem) - 1);
        _exit(1);
      }
      _exit(0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
      next = end;
      continue;
    }
    const bool hung = WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM;
    report(shared->seed, shared->problem[0] != '\0' ? shared->problem
                         : hung                     ? "hung"
                                : "crashed with status " + std::to_string(status));
    next = shared->seed + 1;
  }
  munmap(shared, sizeof(Shared));
}

}  // namespace suffice
