// SPDX-License-Identifier: Apache-2.0
// What one case runs, and what is checked of it.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "kernels/bench/bench_cases.h"

namespace suffice::bench {

struct AttentionWork {
  std::optional<std::string> absent;  // why the backend cannot run it; then nothing else is set
  std::function<void()> prepare;      // once, before; may be null
  std::function<void()> run;          // what is timed
  std::function<void()> without;      // its time is subtracted; may be null
  std::function<double()> error;      // after run; relative, or a share that must be 0
  double bound = 0.0;                 // at most this error
  std::function<double()> density;    // after run: kept token pairs / all
  bool replay = false;                // kernels so small that the gaps between them would show
};

// `problem` and `context` must outlive it.
AttentionWork WorkOf(Context& context, const AttentionProblem& problem,
                     const AttentionBenchCase& spec);

}  // namespace suffice::bench
