// SPDX-License-Identifier: Apache-2.0
// One writer for each output: a run that takes long claims the names it will write when it begins.
#pragma once

#include <string>

#include "lib/io/unique_fd.h"

namespace suffice {

// Holds NAME for as long as it lives, by a lock on .NAME.lock in the same folder, which it removes
// at its end. The lock ends with the process, however that ends, and holds on every host that
// shares the folder's locks. What a killed process left of it is taken over.
class OutputClaim {
 public:
  // Throws kUsage, with the host and process that hold the name, if someone does; kFailed when the
  // folder cannot be written. Where the file system has no locks, nothing is held.
  explicit OutputClaim(const std::string& path);
  OutputClaim(OutputClaim&& other) noexcept = default;
  OutputClaim& operator=(OutputClaim&&) = delete;
  ~OutputClaim();

  bool held() const { return fd_.valid(); }

 private:
  std::string lock_;
  UniqueFd fd_;
};

// Takes the write lock of a whole file, without waiting. EAGAIN or EACCES in errno: someone holds
// it.
bool TryLock(int fd);

}  // namespace suffice
