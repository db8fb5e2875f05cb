// SPDX-License-Identifier: Apache-2.0
// What one ledger entry says: who did what, to which files, with which result. The payload of a
// DSSE envelope, as JSON. A run writes an intent before it acts and one closing record after; an
// intent without one is a crash or a suppression, and shows.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "lib/ledger/merkle.h"

namespace suffice {

struct FileRef {
  std::string role;    // "teacher", "output"
  std::string path;    // relative to the ledger's folder where both share a root, else absolute
  std::string digest;  // content digest, hexadecimal; empty for an output not yet written
  bool operator==(const FileRef&) const = default;
};

struct Record {
  uint64_t seq = 0;    // its index in the log
  Hash previous{};     // leaf hash of the entry before it
  std::string phase;   // intent; result, failure, stopped, refusal; note
  std::string run_id;  // ULID, shared by an intent and what closes it
  std::string tool, verb, version;
  std::string binary_sha256, host, wall_time, boot_id;  // wall_time: UTC, RFC 3339, milliseconds
  int64_t uid = 0;
  int64_t monotonic_ns = 0;
  std::vector<std::string> argv;
  std::string config;  // resolved YAML; by its digest alone when long
  std::string config_sha256;
  std::vector<FileRef> inputs, outputs;
  std::optional<int64_t> seed;
  std::string backend;
  double seconds = 0;  // compute time, closing records
  std::string joules = "unavailable";
  int exit_code = 0;                         // closing records
  std::string message;                       // of a failure, refusal or note
  std::map<std::string, std::string> facts;  // what the verb found: short name -> text

  bool closes() const {
    return phase == "result" || phase == "failure" || phase == "stopped" || phase == "refusal";
  }
};

// Compact JSON. Lists and texts too long for an entry are replaced by their count and SHA-256.
std::string ToJson(const Record& record);
// Throws kCheckFailed, naming `source`, if `json` is not a record of version 1.
Record ParseRecord(const std::string& json, const std::string& source);

// Fills in who, where and when: host, uid, times, boot id, version, binary digest.
void StampRecord(Record* record);
std::string NewRunId();

}  // namespace suffice
