// SPDX-License-Identifier: Apache-2.0
#include "lib/ledger/verify.h"

#include <algorithm>
#include <filesystem>
#include <map>

#include "lib/base/error.h"
#include "lib/io/tensor_file.h"

namespace suffice {
namespace {

namespace fs = std::filesystem;

// Signatures, sequence and links of the entries; the records of those that hold.
void CheckEntries(const LogContents& log, const PublicKey& tool_key, Verification* v) {
  Hash previous{};
  for (size_t i = 0; i < log.entries.size(); ++i) {
    const std::string source = fmt::format("entry {}", i);
    try {
      Record record = ParseRecord(OpenEnvelope(log.entries[i], tool_key, source), source);
      if (record.seq != i) {
        v->contradictions.push_back(fmt::format("{}: says it is entry {}", source, record.seq));
      }
      if (record.previous != previous) {
        v->contradictions.push_back(source + ": does not link to the entry before it");
      }
      v->records.push_back(std::move(record));
    } catch (const Error& e) {
      v->contradictions.push_back(e.what());
    }
    previous = log.leaves[i];
  }
}

void CheckPairing(Verification* v) {
  struct Run {
    const Record* intent = nullptr;
    const Record* closing = nullptr;
  };
  std::map<std::string, Run> runs;
  for (const Record& record : v->records) {
    if (record.phase == "note") continue;
    Run& run = runs[record.run_id];
    if (record.phase == "intent") {
      if (run.intent != nullptr) {
        v->contradictions.push_back(
            fmt::format("entry {}: a second intent of run {}", record.seq, record.run_id));
      }
      run.intent = &record;
      continue;
    }
    if (!record.closes()) {
      v->contradictions.push_back(
          fmt::format("entry {}: unknown phase '{}'", record.seq, record.phase));
      continue;
    }
    // A refusal comes before anything was planned, so it needs no intent.
    if (run.intent == nullptr && record.phase != "refusal") {
      v->contradictions.push_back(
          fmt::format("entry {}: a {} without an intent", record.seq, record.phase));
    } else if (run.closing != nullptr) {
      v->contradictions.push_back(
          fmt::format("entry {}: run {} was closed before", record.seq, record.run_id));
    } else if (run.intent != nullptr &&
               (run.intent->tool != record.tool || run.intent->verb != record.verb ||
                run.intent->config_sha256 != record.config_sha256)) {
      v->contradictions.push_back(fmt::format(
          "entry {}: closes entry {}, which says another command", record.seq, run.intent->seq));
    }
    run.closing = &record;
  }
  for (const auto& [id, run] : runs) {
    if (run.intent != nullptr && run.closing == nullptr) {
      v->open_intents.push_back(
          fmt::format("{} {} {}", run.intent->seq, run.intent->tool, run.intent->verb));
    }
  }
}

// The newest word on each path, and whether the chain of digests was broken on the way.
void CheckFiles(const fs::path& folder, bool on_disk, Verification* v) {
  std::map<std::string, CheckedFile> newest;
  for (const Record& record : v->records) {
    const auto note = [&](const FileRef& file, bool written) {
      if (file.digest.empty()) return;
      const auto found = newest.find(file.path);
      if (!written && found != newest.end() && found->second.newest.digest != file.digest) {
        v->outside.push_back(fmt::format("{}: entry {} read what entry {} had not left", file.path,
                                         record.seq, found->second.seq));
      }
      newest[file.path] = {file, record.seq, FileState::kMatches, ""};
    };
    for (const FileRef& file : record.inputs) note(file, false);
    for (const FileRef& file : record.outputs) note(file, true);
  }
  for (auto& [path, file] : newest) {
    if (on_disk) {
      const fs::path place = fs::path(path).is_absolute() ? fs::path(path) : folder / path;
      if (!fs::exists(place)) {
        file.state = FileState::kMissing;
      } else {
        try {
          file.found = ContentDigest(place.string());
        } catch (const Error& e) {
          file.found = "unreadable";
        }
        if (file.found != file.newest.digest) {
          file.state = FileState::kDiffers;
          v->contradictions.push_back(fmt::format("{}: entry {} says {}, found {}", path, file.seq,
                                                  file.newest.digest.substr(0, 16),
                                                  file.found.substr(0, 16)));
        }
      }
    }
    v->files.push_back(file);
  }
}

}  // namespace

size_t Verification::missing_files() const {
  return static_cast<size_t>(std::count_if(files.begin(), files.end(), [](const CheckedFile& file) {
    return file.state == FileState::kMissing;
  }));
}

Verification VerifyLedger(const std::string& folder, const VerifyOptions& options) {
  const fs::path path(folder);
  if (!fs::exists(path)) throw DataError("{}: no such folder", folder);
  if (!fs::exists(path / "checkpoint")) throw DataError("{}: no checkpoint: not a ledger", folder);
  const auto key = [&](const std::optional<PublicKey>& pinned, const char* name) {
    return pinned ? *pinned : ReadPublicKey((path / name).string());
  };
  Verification v{options.log_key.has_value(),
                 key(options.log_key, "log.pub"),
                 key(options.tool_key, "tool.pub"),
                 {},
                 {},
                 {},
                 {},
                 {},
                 {}};
  LogContents log;
  try {
    log = ReadLog(folder, v.log_key);
  } catch (const Error& e) {
    if (e.code() != ExitCode::kCheckFailed) throw;
    v.contradictions.push_back(e.what());
    return v;
  }
  v.checkpoint = log.checkpoint;
  CheckEntries(log, v.tool_key, &v);
  CheckPairing(&v);
  CheckFiles(path, options.files, &v);
  return v;
}

std::string PathInLedger(const std::string& folder, const std::string& path) {
  const fs::path absolute = fs::absolute(path).lexically_normal();
  const fs::path base = fs::absolute(folder).lexically_normal();
  const fs::path relative = absolute.lexically_relative(base);
  return relative.empty() ? absolute.string() : relative.string();
}

}  // namespace suffice
