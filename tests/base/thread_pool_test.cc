// SPDX-License-Identifier: Apache-2.0
#include "lib/base/thread_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <numeric>
#include <stdexcept>
#include <vector>

namespace suffice {
namespace {

TEST(ThreadPool, RunsEachIndexOnce) {
  for (const int threads : {1, 2, 5}) {
    ThreadPool pool(threads);
    EXPECT_EQ(pool.threads(), threads);
    for (const int64_t count : {0, 1, 7, 1000}) {
      std::vector<std::atomic<int>> hits(static_cast<size_t>(count));
      pool.ParallelFor(count, 3, [&](int64_t i, int worker) {
        EXPECT_LT(worker, threads);
        ++hits[static_cast<size_t>(i)];
      });
      for (const auto& hit : hits) EXPECT_EQ(hit.load(), 1);
    }
  }
}

TEST(ThreadPool, RethrowsAndStaysUsable) {
  ThreadPool pool(4);
  EXPECT_THROW(pool.ParallelFor(100, 1,
                                [](int64_t i, int) {
                                  if (i == 37) throw std::runtime_error("37");
                                }),
               std::runtime_error);
  std::atomic<int64_t> sum = 0;
  pool.ParallelFor(100, 1, [&](int64_t i, int) { sum += i; });
  EXPECT_EQ(sum.load(), 4950);
}

}  // namespace
}  // namespace suffice
