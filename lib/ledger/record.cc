// SPDX-License-Identifier: Apache-2.0
#include "lib/ledger/record.h"

#include <sys/random.h>
#include <sys/time.h>
#include <unistd.h>

#include <ctime>
#include <fstream>
#include <nlohmann/json.hpp>

#include "lib/base/digest.h"
#include "lib/base/error.h"
#include "lib/base/version.h"

namespace suffice {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kLongText = 12'000;  // an entry holds 65,535 bytes, in base64 at that

// Names of files need not be UTF-8; JSON's texts must.
std::string Text(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

// The value itself, or its digest when it would crowd the entry.
Json Bounded(const Json& value, size_t count) {
  const std::string text = Text(value);
  if (text.size() <= kLongText) return value;
  return {{"count", count}, {"sha256", Hex(Sha256Of(text))}};
}

Json FilesToJson(const std::vector<FileRef>& files) {
  Json list = Json::array();
  for (const FileRef& file : files) {
    Json entry = {{"role", file.role}, {"path", file.path}};
    if (!file.digest.empty()) entry["sha256"] = file.digest;
    list.push_back(std::move(entry));
  }
  return Bounded(list, files.size());
}

std::vector<FileRef> FilesFromJson(const Json& json) {
  std::vector<FileRef> files;
  if (!json.is_array()) return files;  // by digest alone
  for (const Json& entry : json) {
    files.push_back({entry.at("role"), entry.at("path"), entry.value("sha256", "")});
  }
  return files;
}

std::string FirstLine(const char* path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

}  // namespace

std::string ToJson(const Record& r) {
  Json json;
  json["version"] = 1;
  json["seq"] = r.seq;
  json["phase"] = r.phase;
  json["run_id"] = r.run_id;
  json["actor"] = {{"uid", r.uid},
                   {"host", r.host},
                   {"tool", r.tool},
                   {"version", r.version},
                   {"binary_sha256", r.binary_sha256}};
  json["time"] = {{"wall", r.wall_time}, {"monotonic_ns", r.monotonic_ns}, {"boot_id", r.boot_id}};
  json["command"] = {{"verb", r.verb},
                     {"argv", Bounded(r.argv, r.argv.size())},
                     {"config_sha256", r.config_sha256}};
  if (!r.config.empty() && r.config.size() <= kLongText) json["command"]["config"] = r.config;
  json["inputs"] = FilesToJson(r.inputs);
  json["outputs"] = FilesToJson(r.outputs);
  if (r.seed) json["seed"] = *r.seed;
  if (!r.backend.empty()) json["device"] = {{"backend", r.backend}};
  if (r.closes()) {
    json["cost"] = {{"seconds", r.seconds}, {"joules", r.joules}};
    json["exit_code"] = r.exit_code;
  }
  if (!r.message.empty()) json["message"] = r.message.substr(0, 4000);
  if (!r.facts.empty()) json["facts"] = Bounded(r.facts, r.facts.size());
  json["previous_leaf"] = Hex(r.previous);
  return Text(json);
}

Record ParseRecord(const std::string& text, const std::string& source) {
  try {
    const Json json = Json::parse(text);
    if (json.at("version") != 1) throw CheckFailedError("{}: record of another version", source);
    Record r;
    r.seq = json.at("seq");
    r.phase = json.at("phase");
    r.run_id = json.at("run_id");
    const Json& actor = json.at("actor");
    r.uid = actor.at("uid");
    r.host = actor.at("host");
    r.tool = actor.at("tool");
    r.version = actor.at("version");
    r.binary_sha256 = actor.at("binary_sha256");
    const Json& time = json.at("time");
    r.wall_time = time.at("wall");
    r.monotonic_ns = time.at("monotonic_ns");
    r.boot_id = time.at("boot_id");
    const Json& command = json.at("command");
    r.verb = command.at("verb");
    if (command.at("argv").is_array()) r.argv = command.at("argv").get<std::vector<std::string>>();
    r.config_sha256 = command.at("config_sha256");
    r.config = command.value("config", "");
    r.inputs = FilesFromJson(json.at("inputs"));
    r.outputs = FilesFromJson(json.at("outputs"));
    if (json.contains("seed")) r.seed = json.at("seed").get<int64_t>();
    if (json.contains("device")) r.backend = json.at("device").at("backend");
    if (json.contains("cost")) {
      r.seconds = json.at("cost").at("seconds");
      r.joules = json.at("cost").at("joules");
    }
    r.exit_code = json.value("exit_code", 0);
    r.message = json.value("message", "");
    if (json.contains("facts") && !json.at("facts").contains("sha256")) {
      r.facts = json.at("facts").get<std::map<std::string, std::string>>();
    }
    const std::string previous = json.at("previous_leaf");
    if (previous.size() != 2 * r.previous.size())
      throw CheckFailedError("{}: bad leaf hash", source);
    for (size_t i = 0; i < r.previous.size(); ++i) {
      r.previous[i] = static_cast<uint8_t>(std::stoul(previous.substr(2 * i, 2), nullptr, 16));
    }
    return r;
  } catch (const Json::exception&) {
    throw CheckFailedError("{}: not a record of version 1", source);
  } catch (const std::logic_error&) {  // stoul
    throw CheckFailedError("{}: bad leaf hash", source);
  }
}

void StampRecord(Record* record) {
  static const std::string binary = [] {
    try {
      return Hex(Sha256OfFile("/proc/self/exe"));
    } catch (const Error&) {
      return std::string("unavailable");
    }
  }();
  record->version = VersionFull();
  record->binary_sha256 = binary;
  record->uid = static_cast<int64_t>(::getuid());
  char host[256] = {};
  if (::gethostname(host, sizeof(host) - 1) == 0) record->host = host;
  record->boot_id = FirstLine("/proc/sys/kernel/random/boot_id");
  timespec wall{}, monotonic{};
  ::clock_gettime(CLOCK_REALTIME, &wall);
  ::clock_gettime(CLOCK_MONOTONIC, &monotonic);
  std::tm utc{};
  ::gmtime_r(&wall.tv_sec, &utc);
  char text[32];
  const size_t length = std::strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &utc);
  record->wall_time =
      fmt::format("{}.{:03d}Z", std::string_view(text, length), wall.tv_nsec / 1'000'000);
  record->monotonic_ns = monotonic.tv_sec * 1'000'000'000 + monotonic.tv_nsec;
}

std::string NewRunId() {
  static constexpr char kDigits[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";  // Crockford's base 32
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  uint64_t milliseconds =
      static_cast<uint64_t>(now.tv_sec) * 1000 + static_cast<uint64_t>(now.tv_nsec) / 1'000'000;
  std::array<uint8_t, 16> random{};
  SUFFICE_CHECK(::getrandom(random.data(), random.size(), 0) ==
                static_cast<ssize_t>(random.size()));
  std::string id(26, '0');
  for (size_t i = 10; i-- > 0; milliseconds >>= 5) id[i] = kDigits[milliseconds & 31];
  for (size_t i = 0; i < 16; ++i) id[10 + i] = kDigits[random[i] & 31];
  return id;
}

}  // namespace suffice
