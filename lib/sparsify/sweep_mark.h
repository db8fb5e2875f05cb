// SPDX-License-Identifier: Apache-2.0
// The first line of a sweep's shard: which rows of the table these are and what they come from, so
// that merging can tell. A comment to those who read tables:
//
//   # shard {"shard":[1,4],"rows":[6,12],"of":24,"producer":"...","config-sha256":"...",...}
//
// rows from 0, the end not included.
#pragma once

#include <map>
#include <string>

#include "lib/run/shard.h"

namespace suffice::sparsify {

struct SweepMark {
  ShardPart part;
  // What all shards of one table agree on: producer, config-sha256, backend, qkv (the content
  // digest of the capture).
  std::map<std::string, std::string> facts;
};

std::string ShardLine(const SweepMark& mark);  // with its newline
// kData, naming the file, for a line that is not one.
SweepMark ParseShardLine(const std::string& line, const std::string& path);

}  // namespace suffice::sparsify
