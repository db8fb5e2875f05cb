// SPDX-License-Identifier: Apache-2.0
#include "lib/sparsify/sweep_mark.h"

#include <nlohmann/json.hpp>

#include "lib/base/error.h"

namespace suffice::sparsify {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kPrefix = "# shard ";
constexpr const char* kFacts[] = {"producer", "config-sha256", "backend", "qkv"};

}  // namespace

std::string ShardLine(const SweepMark& mark) {
  const ShardPart& part = mark.part;
  Json json = {{"shard", {part.shard.index, part.shard.count}},
               {"rows", {part.begin, part.end}},
               {"of", part.total}};
  for (const char* name : kFacts) json[name] = mark.facts.at(name);
  return fmt::format("{}{}\n", kPrefix, json.dump());
}

SweepMark ParseShardLine(const std::string& line, const std::string& path) {
  if (!line.starts_with(kPrefix)) {
    throw DataError("{}: not a shard of a sweep: its first line does not begin with '{}'", path,
                    kPrefix.substr(0, kPrefix.size() - 1));
  }
  try {
    const Json json = Json::parse(line.substr(kPrefix.size()));
    SweepMark mark;
    const Json &shard = json.at("shard"), &rows = json.at("rows");
    mark.part = {{shard.at(0).get<int64_t>(), shard.at(1).get<int64_t>(), false},
                 rows.at(0).get<int64_t>(),
                 rows.at(1).get<int64_t>(),
                 json.at("of").get<int64_t>()};
    for (const char* name : kFacts) mark.facts[name] = json.at(name).get<std::string>();
    return mark;
  } catch (const Json::exception&) {
    throw DataError("{}:1: does not say which shard it is: {}", path, line);
  }
}

}  // namespace suffice::sparsify
