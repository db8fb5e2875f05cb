// SPDX-License-Identifier: Apache-2.0
// Checks a ledger from its files alone: what a stranger with the folder, and perhaps a pinned key,
// can know. In order: key, checkpoint's signature, tiles and root, each entry's signature, its
// place and link, the pairing of intents and closing records, and the files that the newest records
// speak of.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "lib/ledger/log.h"
#include "lib/ledger/record.h"

namespace suffice {

struct VerifyOptions {
  std::optional<PublicKey> log_key = {};   // pinned; else LEDGER/log.pub
  std::optional<PublicKey> tool_key = {};  // pinned; else LEDGER/tool.pub
  bool files = true;                       // compare the files on disk with the newest records
};

enum class FileState { kMatches, kMissing, kDiffers };
struct CheckedFile {
  FileRef newest;
  uint64_t seq = 0;  // the record that speaks of it last
  FileState state = FileState::kMatches;
  std::string found;  // digest on disk, where it differs
};

struct Verification {
  bool pinned = false;
  PublicKey log_key, tool_key;
  LogCheckpoint checkpoint;
  std::vector<Record> records;
  std::vector<std::string> contradictions;  // any: the ledger does not verify
  std::vector<std::string> open_intents;    // "SEQ TOOL VERB": nothing closes them
  std::vector<std::string> outside;  // files that changed between records, outside the ledger
  std::vector<CheckedFile> files;

  size_t missing_files() const;
  bool verified() const { return contradictions.empty(); }
};

// Throws kData if `folder` has no checkpoint or a key cannot be read. A log that fails before its
// records can be read (signature, tiles, root) comes back with that one contradiction.
Verification VerifyLedger(const std::string& folder, const VerifyOptions& options);

// `path` as a record names it: relative to the ledger's folder where possible.
std::string PathInLedger(const std::string& folder, const std::string& path);

}  // namespace suffice
