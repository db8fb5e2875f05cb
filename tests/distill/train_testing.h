// SPDX-License-Identifier: Apache-2.0
// distill sparse as a verb, on a tiny model with clips for it.
#pragma once

#include <atomic>
#include <csignal>
#include <thread>

#include "lib/distill/verbs.h"
#include "tests/generate/generate_testing.h"

namespace suffice::distill {

using testing::Arguments;
using testing::RunResult;
using testing::Scenario;

class TrainTest : public ::testing::Test {
 protected:
  static Options Sets(std::vector<std::string> more = {}) {
    std::vector<std::string> sets = {"train.steps=6", "train.batch=2", "train.held_out_draws=1",
                                     "train.optimizer.warmup_steps=2",
                                     "train.optimizer.ema_decay=0.9"};
    sets.insert(sets.end(), more.begin(), more.end());
    Options options = testing::Set(sets);
    options.checkpoint_seconds = 1000;
    return options;
  }
  Arguments SparseArguments(const std::string& output) const {
    return {{"model", {place / "sparse.h5"}},
            {"teacher", {place / "dense.h5"}},
            {"data", {place / "clips.h5"}},
            {"output", {place / output}}};
  }
  RunResult Sparse(const std::string& output, const Options& options,
                   const std::string& cache = {}) const {
    Arguments arguments = SparseArguments(output);
    if (!cache.empty()) arguments["cache-teacher"] = {place / cache};
    return testing::RunTool(Verbs(), "sparse", arguments, options);
  }
  // The same run with a signal as soon as `now` holds.
  RunResult StopOnce(const std::function<bool()>& now, const std::string& output,
                     const Options& options, const std::string& cache = {}) const {
    std::atomic<bool> done = false;
    std::thread signaller([&] {
      while (!done && !now()) std::this_thread::yield();
      if (!done) kill(getpid(), SIGTERM);
    });
    RunResult run = Sparse(output, options, cache);
    done = true;
    signaller.join();
    return run;
  }
  // Files in the folder whose name begins so, sorted.
  std::vector<std::string> Names(const std::string& prefix) const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(place / ".")) {
      const std::string name = entry.path().filename().string();
      if (name.starts_with(prefix)) names.push_back(name);
    }
    std::sort(names.begin(), names.end());
    return names;
  }
  std::string Digest(const std::string& name) const { return ContentDigest(place / name); }

  Scenario place;
};

}  // namespace suffice::distill
