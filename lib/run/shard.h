// SPDX-License-Identifier: Apache-2.0
// Work cut into shards, one for each task of a batch job. What a unit of work gives does not depend
// on the shard it falls into, so that the outputs of all shards, merged, are that of one run.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace suffice {

class TensorReader;
class TensorWriter;

struct Shard {
  int64_t index = 0;
  int64_t count = 1;
  bool from_slurm = false;  // by the environment of an array job, not by --shard

  bool whole() const { return count == 1; }
  std::string Name() const;  // "1/4"
};

// "I/N" with 0 <= I < N; else kUsage.
Shard ParseShard(const std::string& text);

// That of a task of a Slurm job array, from SLURM_ARRAY_TASK_ID, _MIN, _COUNT and _STEP (1 when
// missing): I = (ID - MIN) / STEP, N = COUNT. Nothing when one of the first three is missing;
// kUsage, naming the variable, for what is no number and for arrays with gaps.
std::optional<Shard> ShardOfSlurm(const char* id, const char* min, const char* count,
                                  const char* step);

// The contiguous range of items that a shard does.
struct ShardPart {
  Shard shard;
  int64_t begin = 0, end = 0;  // of items, from 0
  int64_t total = 0;

  int64_t items() const { return end - begin; }
};

// Groups of `together` items are not cut (the last may be smaller): shard I of N has the groups
// from floor(I G / N) to floor((I + 1) G / N) of G. kUsage when there are fewer groups than shards;
// `what` the items are: "samples".
ShardPart PartOf(const Shard& shard, int64_t total, const std::string& what, int64_t together = 1);

// Root attributes shard and shard-range of a shard's file (tensor_file.h).
void WritePart(const ShardPart& part, TensorWriter* writer);
// Nothing when there are none: a whole file. kData when they contradict each other.
std::optional<ShardPart> ReadPart(const TensorReader& file);

// One of the files that are merged.
struct ShardFile {
  std::string path;
  ShardPart part;
};

// "b.h5: shard 1 of 4", for messages.
std::string NameOf(const ShardFile& file);

// The order in which the files are merged, by index into `files`. kData, naming file and shard,
// when they are not all the shards of one whole: another number of shards or of items, one given
// twice, ranges that overlap or leave a gap, a shard that is missing.
std::vector<size_t> OrderOfShards(const std::vector<ShardFile>& files);

}  // namespace suffice
