// SPDX-License-Identifier: Apache-2.0
#include "lib/run/shard.h"

#include <gtest/gtest.h>

#include "lib/base/error.h"

namespace suffice {
namespace {

TEST(Shard, PartsAreContiguousCoverAllAndKeepGroupsWhole) {
  for (const int64_t total : {1, 7, 12, 1000}) {
    for (const int64_t together : {1, 3, 5}) {
      const int64_t groups = (total + together - 1) / together;
      for (int64_t count = 1; count <= std::min<int64_t>(groups, 9); ++count) {
        int64_t end = 0;
        for (int64_t i = 0; i < count; ++i) {
          const ShardPart part = PartOf({i, count, false}, total, "items", together);
          EXPECT_EQ(part.begin, end);
          EXPECT_GT(part.items(), 0);
          EXPECT_TRUE(part.end % together == 0 || part.end == total) << part.end;
          end = part.end;
        }
        EXPECT_EQ(end, total);
      }
      EXPECT_THROW(PartOf({0, std::max<int64_t>(2, groups + 1), false}, total, "items", together),
                   Error);
    }
  }
}

TEST(Shard, IsReadFromTextAndFromASlurmArray) {
  EXPECT_EQ(ParseShard("2/3").index, 2);
  EXPECT_EQ(ParseShard("2/3").Name(), "2/3");
  EXPECT_THROW(ParseShard("3/3"), Error);
  EXPECT_THROW(ParseShard("99999999999999999999/3"), Error);

  EXPECT_FALSE(ShardOfSlurm(nullptr, "0", "3", "1"));
  EXPECT_FALSE(ShardOfSlurm("0", nullptr, "3", "1"));
  EXPECT_FALSE(ShardOfSlurm("0", "0", nullptr, "1"));
  const auto task = ShardOfSlurm("9", "5", "3", "2");
  ASSERT_TRUE(task);
  EXPECT_EQ(task->Name(), "2/3");
  EXPECT_TRUE(task->from_slurm);
  EXPECT_EQ(ShardOfSlurm("6", "5", "3", nullptr)->Name(), "1/3");
  EXPECT_THROW(ShardOfSlurm("4", "5", "3", "1"), Error);
  EXPECT_THROW(ShardOfSlurm("8", "5", "3", "1"), Error);
  EXPECT_THROW(ShardOfSlurm("6", "5", "3", "2"), Error);
  EXPECT_THROW(ShardOfSlurm("6", "5", "3", "0"), Error);
}

std::string Refusal(const std::vector<ShardFile>& files) {
  try {
    OrderOfShards(files);
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ExitCode::kData);
    return e.what();
  }
  return "";
}

TEST(Shard, FilesAreOrderedAndJudged) {
  const auto file = [](const char* path, int64_t index, int64_t begin, int64_t end,
                       int64_t count = 3, int64_t total = 9) {
    return ShardFile{path, {{index, count, false}, begin, end, total}};
  };
  const ShardFile a = file("a", 0, 0, 3), b = file("b", 1, 3, 6), c = file("c", 2, 6, 9);
  EXPECT_EQ(OrderOfShards({c, a, b}), (std::vector<size_t>{1, 2, 0}));
  EXPECT_EQ(Refusal({a, c}), "shard 1 of 3: is missing among the 2 files given");
  EXPECT_EQ(Refusal({c}), "shard 0 of 3: is missing among the 1 files given");
  EXPECT_EQ(Refusal({a, b}), "shard 2 of 3: is missing among the 2 files given");
  EXPECT_EQ(Refusal({b, a, a, c}), "a: shard 0 of 3: is given twice, also as a");
  EXPECT_EQ(Refusal({a, file("b", 1, 2, 6), c}),
            "b: shard 1 of 3: from item 2 on, 3 wanted: it overlaps a");
  EXPECT_EQ(Refusal({a, file("b", 1, 4, 6), c}),
            "b: shard 1 of 3: from item 4 on, 3 wanted: it leaves a gap after a");
  EXPECT_EQ(Refusal({file("a", 0, 1, 3), b, c}), "a: shard 0 of 3: from item 1 on, 0 wanted");
  EXPECT_EQ(Refusal({a, b, file("c", 2, 6, 8)}),
            "c: shard 2 of 3: ends at item 8, the last of 9 wanted");
  EXPECT_EQ(Refusal({a, file("b", 1, 3, 6, 4)}),
            "b: shard 1 of 4, a: shard 0 of 3: not of one run");
  EXPECT_EQ(Refusal({a, file("b", 1, 3, 6, 3, 10)}),
            "b: shard 1 of 3: of 10 items in all, that of a of 9");
  EXPECT_EQ(Refusal({file("a", 0, 3, 3)}), "a: shard 0 of 3: is no part of a whole");
}

}  // namespace
}  // namespace suffice
