// SPDX-License-Identifier: Apache-2.0
#include "lib/ledger/log.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "lib/base/error.h"
#include "lib/io/atomic_file.h"

namespace suffice {
namespace {

namespace fs = std::filesystem;

// The bytes of a file of the log; a missing or unreadable one contradicts the checkpoint.
std::string ReadWhole(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::string bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  if (!file)
    throw CheckFailedError("{}: missing or unreadable, the checkpoint needs it", path.string());
  return bytes;
}

void WriteWhole(const fs::path& path, std::string_view bytes) {
  fs::create_directories(path.parent_path());
  AtomicFile file(path.string(), /*force=*/true);
  file.Write(bytes);
  file.Commit();
}

LogCheckpoint ReadCheckpoint(const fs::path& folder, const PublicKey& log_key) {
  const fs::path path = folder / "checkpoint";
  if (!fs::exists(path)) throw DataError("{}: no checkpoint: not a ledger", folder.string());
  return OpenCheckpoint(ReadWhole(path), log_key, path.string());
}

std::vector<Hash> ParseHashes(const fs::path& path, uint64_t width) {
  const std::string bytes = ReadWhole(path);
  if (bytes.size() != width * sizeof(Hash)) {
    throw CheckFailedError("{}: {} bytes, {} hashes want {}", path.string(), bytes.size(), width,
                           width * sizeof(Hash));
  }
  std::vector<Hash> hashes(width);
  for (size_t i = 0; i < width; ++i) {
    std::copy_n(bytes.begin() + static_cast<ptrdiff_t>(i * sizeof(Hash)), sizeof(Hash),
                hashes[i].begin());
  }
  return hashes;
}

std::vector<std::string> ParseEntries(const fs::path& path, uint64_t width) {
  const std::string bytes = ReadWhole(path);
  std::vector<std::string> entries;
  size_t at = 0;
  while (at + 2 <= bytes.size()) {
    const size_t size = static_cast<size_t>(static_cast<uint8_t>(bytes[at])) << 8 |
                        static_cast<uint8_t>(bytes[at + 1]);
    if (at + 2 + size > bytes.size()) break;
    entries.push_back(bytes.substr(at + 2, size));
    at += 2 + size;
  }
  if (at != bytes.size() || entries.size() != width) {
    throw CheckFailedError("{}: not a tile of {} entries", path.string(), width);
  }
  return entries;
}

std::string JoinHashes(const std::vector<Hash>& hashes) {
  std::string bytes;
  for (const Hash& hash : hashes) bytes.append(hash.begin(), hash.end());
  return bytes;
}

uint64_t LevelSize(uint64_t size, size_t level) { return size >> (8 * level); }

// Number of levels that have any hash in a log of `size` entries.
size_t Levels(uint64_t size) {
  size_t levels = 1;
  while (LevelSize(size, levels) > 0) ++levels;
  return levels;
}

// Width of tile n at a level that holds `count` hashes.
uint64_t WidthOf(uint64_t n, uint64_t count) {
  return std::min(kTileWidth, count - n * kTileWidth);
}

class FolderLock {
 public:
  explicit FolderLock(const fs::path& folder) {
    const std::string path = (folder / "lock").string();
    fd_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fd_ < 0) throw ErrnoError(path, "cannot be opened");
    if (::flock(fd_, LOCK_EX) != 0) {
      ::close(fd_);
      throw ErrnoError(path, "cannot be locked");
    }
  }
  ~FolderLock() { ::close(fd_); }
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

 private:
  int fd_;
};

}  // namespace

PublicKey ReadPublicKey(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  if (!std::getline(file, line)) throw DataError("{}: the public key cannot be read", path);
  return PublicKey::Parse(line, path);
}

LedgerKeys CreateKeys(const std::string& folder, const std::string& origin) {
  const fs::path path(folder);
  for (const char* name : {"log.key", "log.pub", "tool.key", "tool.pub"}) {
    if (fs::exists(path / name)) {
      throw UsageError("{}: exists; a key is never overwritten", (path / name).string());
    }
  }
  if (fs::create_directories(path)) ::chmod(folder.c_str(), 0700);
  LedgerKeys keys{PrivateKey::Generate(origin), PrivateKey::Generate(origin + "/tool")};
  keys.log.Save(path / "log.key", path / "log.pub");
  keys.tool.Save(path / "tool.key", path / "tool.pub");
  return keys;
}

LedgerKeys LoadKeys(const std::string& folder) {
  const fs::path path(folder);
  return {PrivateKey::Load(path / "log.key", path / "log.pub"),
          PrivateKey::Load(path / "tool.key", path / "tool.pub")};
}

void LedgerWriter::Create(const std::string& folder, const LedgerKeys& keys) {
  const fs::path path(folder);
  if (fs::exists(path / "checkpoint")) throw UsageError("{}: a ledger exists there", folder);
  fs::create_directories(path);
  const FolderLock lock(path);
  WriteWhole(path / "log.pub", keys.log.public_key().Line() + "\n");
  WriteWhole(path / "tool.pub", keys.tool.public_key().Line() + "\n");
  const LogCheckpoint empty{keys.log.public_key().name(), 0, TreeHash({})};
  WriteWhole(path / "checkpoint", SignCheckpoint(empty, keys.log));
}

LedgerWriter::LedgerWriter(std::string folder, LedgerKeys keys)
    : folder_(std::move(folder)), keys_(std::move(keys)) {
  ReadCheckpoint(folder_, keys_.log.public_key());
  const std::string tool_path = (fs::path(folder_) / "tool.pub").string();
  if (!(ReadPublicKey(tool_path) == keys_.tool.public_key())) {
    throw CheckFailedError("{}: not the tool key that was given", tool_path);
  }
}

uint64_t LedgerWriter::Append(
    const std::function<std::string(uint64_t index, const Hash& previous)>& make) {
  const fs::path folder(folder_);
  const FolderLock lock(folder);
  const LogCheckpoint old = ReadCheckpoint(folder, keys_.log.public_key());
  const uint64_t index = old.size;
  const uint64_t size = index + 1;

  // The right edge of the old tree: the last, partial tile of each level, empty where it was full.
  std::vector<std::vector<Hash>> edge(Levels(size));
  for (size_t level = 0; level < edge.size(); ++level) {
    const uint64_t count = LevelSize(index, level);
    if (count % kTileWidth == 0) continue;
    const uint64_t n = count / kTileWidth;
    edge[level] = ParseHashes(folder / TilePath(static_cast<int>(level), n, count % kTileWidth),
                              count % kTileWidth);
  }
  if (index > 0 && RootFromEdge(edge) != old.root) {
    throw CheckFailedError("{}: the tiles do not give the checkpoint's root; run audit verify",
                           folder_);
  }
  Hash previous{};
  if (!edge[0].empty()) {
    previous = edge[0].back();
  } else if (index > 0) {
    previous =
        ParseHashes(folder / TilePath(0, index / kTileWidth - 1, kTileWidth), kTileWidth).back();
  }

  const std::string entry = SignEnvelope(make(index, previous), keys_.tool);
  if (entry.size() > kMaxEntryBytes) {
    throw RunError("{}: a record of {} bytes, an entry holds {}", folder_, entry.size(),
                   kMaxEntryBytes);
  }

  // Entries, then hashes level by level: a tile that fills up gives one hash to the level above.
  const uint64_t n = index / kTileWidth;
  const uint64_t width = index % kTileWidth;
  std::vector<fs::path> outdated;
  std::string bundle;
  if (width > 0) {
    outdated.push_back(folder / TilePath(-1, n, width));
    bundle = ReadWhole(outdated.back());
    ParseEntries(outdated.back(), width);  // throws unless whole
  }
  bundle += static_cast<char>(entry.size() >> 8);
  bundle += static_cast<char>(entry.size() & 0xFF);
  WriteWhole(folder / TilePath(-1, n, width + 1), bundle + entry);
  Hash rising = LeafHash(entry);
  for (size_t level = 0; level < edge.size(); ++level) {
    std::vector<Hash>& tile = edge[level];
    const uint64_t tile_index = LevelSize(index, level) / kTileWidth;
    if (!tile.empty()) {
      outdated.push_back(folder / TilePath(static_cast<int>(level), tile_index, tile.size()));
    }
    tile.push_back(rising);
    WriteWhole(folder / TilePath(static_cast<int>(level), tile_index, tile.size()),
               JoinHashes(tile));
    if (tile.size() < kTileWidth) break;
    rising = TreeHash(tile);
    tile.clear();
  }
  LogCheckpoint head{old.origin, size, RootFromEdge(edge)};
  WriteWhole(folder / "checkpoint", SignCheckpoint(head, keys_.log));
  for (const fs::path& path : outdated) {
    std::error_code ignored;  // a tile too many is no harm
    fs::remove(path, ignored);
    fs::remove(path.parent_path(), ignored);  // only if empty
  }
  return index;
}

LogContents ReadLog(const std::string& folder_name, const PublicKey& log_key) {
  const fs::path folder(folder_name);
  LogContents log;
  log.checkpoint = ReadCheckpoint(folder, log_key);
  const uint64_t size = log.checkpoint.size;
  for (uint64_t n = 0; n * kTileWidth < size; ++n) {
    const fs::path path = folder / TilePath(-1, n, WidthOf(n, size));
    for (std::string& entry : ParseEntries(path, WidthOf(n, size))) {
      log.leaves.push_back(LeafHash(entry));
      log.entries.push_back(std::move(entry));
    }
  }
  // Every stored hash must be the one that the entries give.
  std::vector<Hash> below = log.leaves;
  for (size_t level = 0; level < Levels(size) && size > 0; ++level) {
    const uint64_t count = LevelSize(size, level);
    std::vector<Hash> above;
    for (uint64_t n = 0; n * kTileWidth < count; ++n) {
      const uint64_t width = WidthOf(n, count);
      const fs::path path = folder / TilePath(static_cast<int>(level), n, width);
      const std::vector<Hash> stored = ParseHashes(path, width);
      const auto first = below.begin() + static_cast<ptrdiff_t>(n * kTileWidth);
      if (!std::equal(stored.begin(), stored.end(), first)) {
        throw CheckFailedError("{}: hashes differ from those of the entries", path.string());
      }
      if (width == kTileWidth) above.push_back(TreeHash(stored));
    }
    below = std::move(above);
  }
  if (TreeHash(log.leaves) != log.checkpoint.root) {
    throw CheckFailedError("{}: the entries do not give the checkpoint's root", folder_name);
  }
  return log;
}

}  // namespace suffice
