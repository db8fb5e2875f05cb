// SPDX-License-Identifier: Apache-2.0
#include "lib/io/gzip.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>
#include <zlib.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <memory>
#include <vector>

#include "lib/base/error.h"
#include "lib/io/atomic_file.h"

namespace suffice {

UniqueFd GunzipToTemporary(const std::string& path) {
  constexpr uint64_t kMaxBytes = uint64_t{8} << 30;
  errno = 0;
  const std::unique_ptr<gzFile_s, int (*)(gzFile)> in(gzopen(path.c_str(), "rb"), &gzclose);
  if (!in) throw DataError("{}: {}", path, std::strerror(errno));
  std::error_code none;
  std::filesystem::path folder = std::filesystem::temp_directory_path(none);
  if (none) folder = "/tmp";
  std::string name = (folder / "suffice-XXXXXX").string();
  UniqueFd out(mkostemp(name.data(), O_CLOEXEC));
  if (!out.valid()) throw ErrnoError(name, "cannot be created");
  unlink(name.c_str());
  std::vector<char> buffer(1 << 20);
  uint64_t total = 0;
  while (true) {
    const int got = gzread(in.get(), buffer.data(), static_cast<unsigned>(buffer.size()));
    if (got <= 0) break;
    total += static_cast<uint64_t>(got);
    if (total > kMaxBytes) throw DataError("{}: more than {} bytes unpacked", path, kMaxBytes);
    WriteAll(out.get(), buffer.data(), static_cast<size_t>(got), name);
  }
  int code = Z_OK;
  const char* reason = gzerror(in.get(), &code);
  if (code != Z_OK && code != Z_STREAM_END) throw DataError("{}: damaged gzip: {}", path, reason);
  return out;
}

}  // namespace suffice
