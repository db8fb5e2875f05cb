// SPDX-License-Identifier: Apache-2.0
// Timing of the attention operations: each case is verified, then timed, and set against the
// machine's own ceilings measured in the same run. A plain result comes back; `sparsify bench`
// prints and stores it.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "kernels/bench/bench_cases.h"

namespace suffice::bench {

// The cases of a host, or those of a GPU.
std::vector<AttentionBenchCase> StandardAttentionCases(DeviceKind kind);

struct AttentionBenchResult {
  AttentionBenchCase spec;
  std::string backend;  // Context::Describe
  std::string absent;   // why the backend cannot run it; all below is then as it is here
  int threads = 0;
  double density = 1.0;  // kept token pairs / all
  double error = 0.0;    // relative L2 over samples; of a selection the share of wrong rows, 0
  double seconds = 0.0;  // median; of a difference, the difference of medians
  int repetitions = 0;
  double gflops = 0.0;  // on the kept work; 0 where no FLOPs are counted
  // On a host the ceiling of all threads (bench/peak.h), the higher of just before and just after
  // a repetition: the median over repetitions of it, and of a repetition's rate over its own. On a
  // GPU that of the vendor's product, the higher of just before and just after the case.
  std::optional<double> peak_gflops, share_of_peak;
  // On a GPU: of a copy in its memory, read and written; and the share of it that reading q and k
  // once in the time of the mask, or of its pooling, comes to.
  std::optional<double> copy_bytes_per_second, share_of_copy;
  std::optional<double> rate_to_dense;  // gflops / those of the dense case of this run
  // A mask's work, or the layer: seconds / those of the attend case of this run.
  std::optional<double> seconds_to_attend;
};

struct AttentionBenchOptions {
  int min_repetitions = 3;
  int max_repetitions = 9;           // on a host
  int max_device_repetitions = 100;  // on a GPU, where most cases take less than a millisecond
  double seconds = 2.0;              // of timing a case: no further repetition starts after this
};

// Throws CheckFailedError if a result is further from the definition than the tests allow, and what
// Context::Run throws; what the backend says it cannot run is reported as absent. `report` is
// called after each case.
std::vector<AttentionBenchResult> RunAttentionBench(
    Context& context, std::span<const AttentionBenchCase> cases,
    const AttentionBenchOptions& options = {},
    const std::function<void(const AttentionBenchResult&)>& report = nullptr);

}  // namespace suffice::bench
