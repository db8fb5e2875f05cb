// SPDX-License-Identifier: Apache-2.0
// Timing of the attention operations: each case is verified, then timed, and set against the
// machine's own ceiling measured in the same run. A plain result comes back; `sparsify bench`
// prints and stores it.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "kernels/bench/attention_problem.h"

namespace suffice::bench {

enum class AttentionOperation {
  kAttend,          // FLOPs: 4 D kept pairs
  kAttendBackward,  // counted as 2.5 times that, whatever the kernel recomputes
  kSelect,          // pool q, pool k, score and select: no FLOPs are counted
};
const char* NameOf(AttentionOperation operation);  // "attend", "attend_backward", "select"

struct AttentionBenchCase {
  AttentionOperation operation;
  DType dtype;
  ProblemShape shape;
};

// The cases of the README: (1, 4, 16384, 128) at 5 % and dense, forward and backward, in bf16 and
// fp32; (1, 8, 4096, 64) dense; and (1, 12, 32760, 128) at 5 % with its selection.
std::vector<AttentionBenchCase> StandardAttentionCases();

struct AttentionBenchResult {
  AttentionBenchCase spec;
  std::string backend;  // Context::Describe
  int threads = 0;
  double density = 1.0;  // kept token pairs / all
  double error =
      0.0;  // relative L2 over sampled rows; 0 for select, which the tests compare exactly
  double seconds = 0.0;  // median
  int repetitions = 0;
  double gflops = 0.0;  // on the kept work; 0 for select
  // The ceiling of all threads (bench/peak.h), the higher of just before and just after: the median
  // over repetitions of it, and of a repetition's rate over its own.
  std::optional<double> peak_gflops, share_of_peak;
  std::optional<double> rate_to_dense;  // gflops / those of the dense case of this run
  std::optional<double>
      seconds_to_attend;  // select: seconds / those of the attend case of this run
};

struct AttentionBenchOptions {
  int min_repetitions = 3;
  int max_repetitions = 9;
  double seconds = 2.0;  // of timing a case: no further repetition starts after this
};

// Throws CheckFailedError if a result is further from the definition than the tests allow, and what
// Context::Run throws. `report` is called after each case.
std::vector<AttentionBenchResult> RunAttentionBench(
    Context& context, std::span<const AttentionBenchCase> cases,
    const AttentionBenchOptions& options = {},
    const std::function<void(const AttentionBenchResult&)>& report = nullptr);

}  // namespace suffice::bench
