// SPDX-License-Identifier: Apache-2.0
// Errors: one exception type whose code is the process's exit status, and checks for our own bugs.
//
// A message is lower case, names its subject first, and says what was found and what was wanted:
//   weights.h5: /blocks/0/q: shape (64, 128), the config wants (64, 64)
#pragma once

#include <fmt/core.h>

#include <stdexcept>
#include <string>
#include <utility>

namespace suffice {

// The exit statuses of all five tools (suffice(7), EXIT STATUS).
enum class ExitCode : int {
  kDone = 0,
  kFailed = 1,         // failed while running: I/O, full disk, device fault
  kUsage = 2,          // usage or configuration, an existing output, a request against a contract
  kData = 3,           // an input is missing, invalid or corrupt
  kDevice = 4,         // no suitable device, or not enough of its memory
  kCheckFailed = 5,    // a check was made and the answer is no
  kNeedsApproval = 6,  // a person must approve
  kRefused = 7,        // refused by policy or budget
  kStopped = 75,       // stopped on request after a checkpoint: run again
};

class Error : public std::runtime_error {
 public:
  Error(ExitCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  ExitCode code() const { return code_; }

 private:
  ExitCode code_;
};

// throw DataError("{}: shape {}, the config wants {}", path, found, wanted);
#define SUFFICE_DEFINE_ERROR(Name, kCode)                                            \
  template <class... Args>                                                           \
  [[nodiscard]] Error Name(fmt::format_string<Args...> format, Args&&... args) {     \
    return Error(ExitCode::kCode, fmt::format(format, std::forward<Args>(args)...)); \
  }
SUFFICE_DEFINE_ERROR(RunError, kFailed)
SUFFICE_DEFINE_ERROR(UsageError, kUsage)
SUFFICE_DEFINE_ERROR(DataError, kData)
SUFFICE_DEFINE_ERROR(DeviceError, kDevice)
SUFFICE_DEFINE_ERROR(CheckFailedError, kCheckFailed)
SUFFICE_DEFINE_ERROR(RefusedError, kRefused)
SUFFICE_DEFINE_ERROR(StoppedError, kStopped)
#undef SUFFICE_DEFINE_ERROR

// RunError with the text of errno: "PATH: WHAT: No space left on device".
[[nodiscard]] Error ErrnoError(const std::string& path, const char* what);

// kDevice: memory that is not there. Whoever knows what would need less says so on the way up.
class OutOfMemory : public Error {
 public:
  explicit OutOfMemory(const std::string& message) : Error(ExitCode::kDevice, message) {}
};

namespace internal {
[[noreturn]] void CheckFailure(const char* condition, const char* file, int line);
}  // namespace internal

// A message as a terminal may have it: control characters of what it quotes as \xNN, but for ends
// of lines.
std::string Printable(std::string_view message);

}  // namespace suffice

// For our own bugs, never for what a user gave: aborts and names the place.
#define SUFFICE_CHECK(condition)      \
  ((condition) ? static_cast<void>(0) \
               : ::suffice::internal::CheckFailure(#condition, __FILE__, __LINE__))
#ifdef SUFFICE_DCHECKS
#define SUFFICE_DCHECK(condition) SUFFICE_CHECK(condition)
#else
#define SUFFICE_DCHECK(condition) static_cast<void>(0)
#endif
