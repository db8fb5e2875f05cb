// SPDX-License-Identifier: Apache-2.0
// Outputs that are written from front to back (text, TSV, JSON, YAML, y4m), and text inputs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "lib/io/atomic_file.h"

namespace suffice {

// "-" is standard output. A device or a FIFO (/dev/null, /dev/stdout, a process substitution) is
// written as it comes. Anything else is an AtomicFile: it appears at Commit, whole.
class OutputStream {
 public:
  explicit OutputStream(const std::string& path, bool force = false);
  ~OutputStream();
  OutputStream(OutputStream&&) noexcept;
  OutputStream& operator=(OutputStream&&) = delete;

  void Write(const void* data, size_t bytes);
  void Write(std::string_view text) { Write(text.data(), text.size()); }
  // All that was written has left the process; throws kFailed when it could not.
  void Commit();

 private:
  std::string name_;
  std::unique_ptr<AtomicFile> file_;
  int direct_fd_ = -1;  // of a device; standard output has neither
};

// An OutputStream with one Write.
void WriteText(const std::string& path, std::string_view text, bool force = false);

// The whole of a file, or of standard input for "-". kData when missing, not readable, or larger
// than `max_bytes`.
std::string ReadText(const std::string& path, uint64_t max_bytes = uint64_t{64} << 20);

}  // namespace suffice
