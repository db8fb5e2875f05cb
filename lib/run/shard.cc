// SPDX-License-Identifier: Apache-2.0
#include "lib/run/shard.h"

#include <algorithm>
#include <charconv>
#include <numeric>

#include "lib/base/error.h"
#include "lib/io/tensor_file.h"

namespace suffice {
namespace {

constexpr int64_t kMost = 1'000'000;  // shards: Slurm's arrays end at 4,000,001, products at 2^63
constexpr char kShard[] = "shard", kRange[] = "shard-range";

std::optional<int64_t> Number(std::string_view text) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value < 0) return std::nullopt;
  return value;
}

int64_t Variable(const char* name, const char* text) {
  const auto value = Number(text);
  if (!value) throw UsageError("{}: '{}' found, an integer from 0 wanted; see --shard", name, text);
  return *value;
}

bool Sound(const ShardPart& p) {
  return p.shard.count > 1 && p.shard.count <= kMost && p.shard.index >= 0 &&
         p.shard.index < p.shard.count && p.begin >= 0 && p.begin < p.end && p.end <= p.total;
}

}  // namespace

std::string Shard::Name() const { return fmt::format("{}/{}", index, count); }

Shard ParseShard(const std::string& text) {
  const size_t slash = text.find('/');
  if (slash != std::string::npos) {
    const auto index = Number(std::string_view(text).substr(0, slash)),
               count = Number(std::string_view(text).substr(slash + 1));
    if (index && count && *index < *count && *count <= kMost) return {*index, *count, false};
  }
  throw UsageError("--shard {}: I/N with 0 <= I < N <= {} wanted", text, kMost);
}

std::optional<Shard> ShardOfSlurm(const char* id, const char* min, const char* count,
                                  const char* step) {
  if (id == nullptr || min == nullptr || count == nullptr) return std::nullopt;
  const int64_t task = Variable("SLURM_ARRAY_TASK_ID", id),
                first = Variable("SLURM_ARRAY_TASK_MIN", min),
                tasks = Variable("SLURM_ARRAY_TASK_COUNT", count),
                every = step == nullptr ? 1 : Variable("SLURM_ARRAY_TASK_STEP", step);
  const int64_t past = task - first;
  if (past < 0 || every < 1 || past % every != 0 || past / every >= tasks || tasks > kMost) {
    throw UsageError(
        "SLURM_ARRAY_TASK_ID: {} of {} tasks from {} on, in steps of {}, is no place in an array "
        "without gaps; --shard I/N says which shard this is, --shard 0/1 that it is none",
        task, tasks, first, every);
  }
  return Shard{past / every, tasks, true};
}

ShardPart PartOf(const Shard& shard, int64_t total, const std::string& what, int64_t together) {
  const int64_t groups = (total + together - 1) / together;
  if (shard.count > groups && !shard.whole()) {
    const std::string kept =
        together == 1 ? "" : fmt::format(", {} of them stay together", together);
    throw UsageError("shard {}: there are {} {}{}: at most {} shards", shard.Name(), total, what,
                     kept, groups);
  }
  const auto edge = [&](int64_t index) {
    return std::min(total, index * groups / shard.count * together);
  };
  return {shard, edge(shard.index), edge(shard.index + 1), total};
}

void WritePart(const ShardPart& part, TensorWriter* writer) {
  writer->Attribute("/", kShard, std::vector<int64_t>{part.shard.index, part.shard.count});
  writer->Attribute("/", kRange, std::vector<int64_t>{part.begin, part.end, part.total});
}

std::optional<ShardPart> ReadPart(const TensorReader& file) {
  const auto shard = file.IntListAttribute("/", kShard), range = file.IntListAttribute("/", kRange);
  if (!shard && !range) return std::nullopt;
  if (shard && range && shard->size() == 2 && range->size() == 3) {
    const ShardPart part{{(*shard)[0], (*shard)[1], false}, (*range)[0], (*range)[1], (*range)[2]};
    if (Sound(part)) return part;
  }
  throw DataError("{}: attributes shard and shard-range: are no part of a whole", file.path());
}

std::string NameOf(const ShardFile& file) {
  return fmt::format("{}: shard {} of {}", file.path, file.part.shard.index, file.part.shard.count);
}

std::vector<size_t> OrderOfShards(const std::vector<ShardFile>& files) {
  const ShardFile& first = files.front();
  for (const ShardFile& file : files) {
    if (!Sound(file.part)) throw DataError("{}: is no part of a whole", NameOf(file));
    if (file.part.shard.count != first.part.shard.count)
      throw DataError("{}, {}: not of one run", NameOf(file), NameOf(first));
    if (file.part.total != first.part.total) {
      throw DataError("{}: of {} items in all, that of {} of {}", NameOf(file), file.part.total,
                      first.path, first.part.total);
    }
  }
  std::vector<size_t> order(files.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return files[a].part.shard.index < files[b].part.shard.index;
  });
  const auto missing = [&](int64_t index) {
    return DataError("shard {} of {}: is missing among the {} files given", index,
                     first.part.shard.count, files.size());
  };
  int64_t index = 0, end = 0;
  for (size_t i = 0; i < order.size(); ++i) {
    const ShardFile& file = files[order[i]];
    if (i > 0 && file.part.shard.index == index - 1) {
      throw DataError("{}: is given twice, also as {}", NameOf(file), files[order[i - 1]].path);
    }
    if (file.part.shard.index != index) throw missing(index);
    if (file.part.begin != end && i == 0)
      throw DataError("{}: from item {} on, 0 wanted", NameOf(file), file.part.begin);
    if (file.part.begin != end) {
      throw DataError("{}: from item {} on, {} wanted: it {} {}", NameOf(file), file.part.begin,
                      end, file.part.begin < end ? "overlaps" : "leaves a gap after",
                      files[order[i - 1]].path);
    }
    ++index;
    end = file.part.end;
  }
  if (index != first.part.shard.count) throw missing(index);
  if (end != first.part.total) {
    throw DataError("{}: ends at item {}, the last of {} wanted", NameOf(files[order.back()]), end,
                    first.part.total);
  }
  return order;
}

}  // namespace suffice
