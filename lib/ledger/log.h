// SPDX-License-Identifier: Apache-2.0
// A transparency log in a folder: C2SP tlog-tiles with RFC 6962 hashing.
//
//   LEDGER/checkpoint          the signed tree head: origin, size, root (log key)
//   LEDGER/tile/L/N[.p/W]      hashes, 256 to a tile, of level L
//   LEDGER/tile/entries/N[.p/W]  entries, each behind its big-endian 16-bit length: DSSE envelopes
//   (tool key) LEDGER/log.pub, tool.pub   verifier keys, for readers that have none pinned
//   LEDGER/lock                held while a writer appends
//
// A writer makes the tiles of the new size first and replaces the checkpoint last, each by an
// atomic rename: a crash leaves the old log. Of partial tiles only those of the checkpoint's size
// are kept.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "lib/ledger/key.h"
#include "lib/ledger/merkle.h"
#include "lib/ledger/note.h"

namespace suffice {

inline constexpr size_t kMaxEntryBytes = 65535;

// The two keys of a writer, in KEYS/log.{key,pub} and KEYS/tool.{key,pub}.
struct LedgerKeys {
  PrivateKey log;
  PrivateKey tool;
};
// Makes both key pairs; `origin` names the log (a URL-like name without spaces or plus signs).
LedgerKeys CreateKeys(const std::string& folder, const std::string& origin);
LedgerKeys LoadKeys(const std::string& folder);

class LedgerWriter {
 public:
  // Creates LEDGER with an empty tree. An existing log is refused (kUsage).
  static void Create(const std::string& folder, const LedgerKeys& keys);

  // Throws kData if the folder has no checkpoint, kCheckFailed if it is not signed by keys.log or
  // its tool.pub is another key.
  LedgerWriter(std::string folder, LedgerKeys keys);

  // Appends the record that `make` gives for the index it will have and the hash of the leaf before
  // it (zeros at the start). Others may append at the same time: the folder is locked meanwhile.
  // Returns the index. On disk when it returns.
  uint64_t Append(const std::function<std::string(uint64_t index, const Hash& previous)>& make);

  const std::string& folder() const { return folder_; }

 private:
  std::string folder_;
  LedgerKeys keys_;
};

// All of a log, checked: tiles parse, hashes agree, the root is the signed one. Signatures of
// entries are the caller's (verify.h). Throws kData if `folder` has no checkpoint, else
// kCheckFailed.
struct LogContents {
  LogCheckpoint checkpoint;
  std::vector<std::string> entries;  // DSSE envelopes
  std::vector<Hash> leaves;
};
LogContents ReadLog(const std::string& folder, const PublicKey& log_key);

// A verifier key in a file of one line.
PublicKey ReadPublicKey(const std::string& path);

}  // namespace suffice
