// SPDX-License-Identifier: Apache-2.0
// A program started with its own words, never through a shell. Internal to lib/io.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "lib/io/unique_fd.h"

namespace suffice {

struct ChildWiring {
  bool feed = false;   // we write its standard input (a socket, so that its end is no SIGPIPE)
  bool drain = false;  // we read its standard output
  int extra_fd = -1;   // becomes its descriptor 3
};

class ChildProcess {
 public:
  // Looks argv[0] up in PATH. kDevice, naming `package`, when it is not there.
  ChildProcess(const std::vector<std::string>& argv, const char* package,
               const ChildWiring& wiring);
  ~ChildProcess();  // ends the child when it still runs
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  int out_fd() const { return out_.get(); }
  bool Feed(const void* data, size_t bytes);  // false when the child no longer reads
  void CloseFeed();
  int Wait();                   // exit status, or 128 + signal
  std::string LastErrorLine();  // what it said last on standard error

 private:
  pid_t pid_ = -1;
  UniqueFd in_;
  UniqueFd out_;
  UniqueFd error_;
};

}  // namespace suffice
