// SPDX-License-Identifier: Apache-2.0
#include "kernels/bench/attention_bench.h"

#include <algorithm>
#include <chrono>

#include "kernels/bench/peak.h"

namespace suffice::bench {
namespace {

using Clock = std::chrono::steady_clock;

struct Timing {
  std::vector<double> seconds;  // of each repetition
  std::vector<double> peaks;    // GFLOP/s between them: one more than repetitions, or none
};

// The first call, which also touches the memory, is not counted. The ceiling is measured between
// repetitions, while the processor is as warm as they make it: its clock drifts by several per cent
// within a run, and from a burst to sustained work.
Timing Time(Context& context, const AttentionBenchOptions& options, std::optional<DType> peak_of,
            const std::function<void()>& run) {
  Timing timing;
  const auto once = [&] {
    const auto begin = Clock::now();
    run();
    context.backend().synchronize(context);
    return std::chrono::duration<double>(Clock::now() - begin).count();
  };
  const auto peak = [&] {
    if (!peak_of) return;
    if (const auto gflops = MeasurePeak(context, *peak_of)) timing.peaks.push_back(*gflops);
  };
  once();
  peak();
  double total = 0.0;
  for (int n = 0; n < options.max_repetitions; ++n) {
    if (n >= options.min_repetitions && total >= options.seconds) break;
    timing.seconds.push_back(once());
    total += timing.seconds.back();
    peak();
  }
  return timing;
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : 0.5 * (values[half - 1] + values[half]);
}

void Verify(const AttentionBenchCase& spec, double error) {
  const bool bf16 = spec.dtype == DType::kBF16;
  const bool backward = spec.operation == AttentionOperation::kAttendBackward;
  const double bound = bf16 ? (backward ? 8e-3 : 4e-3) : 2e-6;
  if (!(error <= bound)) {
    throw CheckFailedError("{} {}: relative error {:.3g}, at most {:.3g} wanted",
                           NameOf(spec.operation), NameOf(spec.dtype), error, bound);
  }
}

AttentionBenchResult RunCase(Context& context, const AttentionBenchCase& spec,
                             const AttentionBenchOptions& options) {
  const AttentionProblem problem(context, spec.dtype, spec.shape);
  AttentionBenchResult result;
  result.spec = spec;
  result.backend = context.Describe();
  result.threads = context.pool().threads();
  result.density = problem.density();
  std::function<void()> run;
  switch (spec.operation) {
    case AttentionOperation::kAttend:
      run = [&] { context.Run(problem.Forward()); };
      run();
      result.error = problem.ForwardError();
      break;
    case AttentionOperation::kAttendBackward:
      run = [&] { context.Run(problem.Backward()); };
      context.Run(problem.Forward());
      run();
      result.error = problem.BackwardError();
      break;
    case AttentionOperation::kSelect:
      run = [&] {
        context.Run(problem.PoolQ());
        context.Run(problem.PoolK());
        context.Run(problem.Select());
      };
      break;
  }
  Verify(spec, result.error);

  const bool counts = spec.operation != AttentionOperation::kSelect;
  const Timing timing =
      Time(context, options, counts ? std::optional(spec.dtype) : std::nullopt, run);
  result.seconds = Median(timing.seconds);
  result.repetitions = static_cast<int>(timing.seconds.size());
  if (!counts) return result;
  const double factor = spec.operation == AttentionOperation::kAttendBackward ? 2.5 : 1.0;
  const double gflop = factor * problem.ForwardFlops() * 1e-9;
  result.gflops = gflop / result.seconds;
  if (!timing.peaks.empty()) {
    std::vector<double> ceilings, shares;
    for (size_t n = 0; n < timing.seconds.size(); ++n) {
      ceilings.push_back(std::max(timing.peaks[n], timing.peaks[n + 1]));
      shares.push_back(gflop / timing.seconds[n] / ceilings.back());
    }
    result.peak_gflops = Median(ceilings);
    result.share_of_peak = Median(shares);
  }
  return result;
}

bool SameBut(const AttentionBenchCase& a, const AttentionBenchCase& b, bool density) {
  return a.dtype == b.dtype && a.shape.batch == b.shape.batch && a.shape.heads == b.shape.heads &&
         a.shape.n == b.shape.n && a.shape.dim == b.shape.dim && a.shape.block == b.shape.block &&
         (!density || a.shape.density == b.shape.density);
}

// Fills in what relates a result to an earlier one of the run.
void Relate(std::span<const AttentionBenchResult> earlier, AttentionBenchResult& result) {
  for (const AttentionBenchResult& other : earlier) {
    const bool select = result.spec.operation == AttentionOperation::kSelect;
    if (select && other.spec.operation == AttentionOperation::kAttend &&
        SameBut(other.spec, result.spec, true)) {
      result.seconds_to_attend = result.seconds / other.seconds;
    }
    if (!select && other.spec.operation == result.spec.operation &&
        other.spec.shape.density >= 1.0 && SameBut(other.spec, result.spec, false)) {
      result.rate_to_dense = result.gflops / other.gflops;
    }
  }
}

}  // namespace

const char* NameOf(AttentionOperation operation) {
  static constexpr const char* kNames[] = {"attend", "attend_backward", "select"};
  return kNames[static_cast<size_t>(operation)];
}

std::vector<AttentionBenchCase> StandardAttentionCases() {
  using enum AttentionOperation;
  const auto shape = [](int64_t heads, int64_t n, int64_t dim, double density) {
    return ProblemShape{.heads = heads, .n = n, .dim = dim, .block = {}, .density = density};
  };
  std::vector<AttentionBenchCase> cases;
  for (const DType dtype : {DType::kBF16, DType::kF32}) {
    for (const AttentionOperation operation : {kAttend, kAttendBackward}) {
      for (const double density : {1.0, 0.1, 0.05}) {
        cases.push_back({operation, dtype, shape(4, 16384, 128, density)});
      }
    }
    cases.push_back({kAttend, dtype, shape(8, 4096, 64, 1.0)});
    cases.push_back({kAttend, dtype, shape(8, 4096, 64, 0.05)});
  }
  cases.push_back({kAttend, DType::kBF16, shape(12, 32760, 128, 0.05)});
  cases.push_back({kSelect, DType::kBF16, shape(12, 32760, 128, 0.05)});
  return cases;
}

std::vector<AttentionBenchResult> RunAttentionBench(
    Context& context, std::span<const AttentionBenchCase> cases,
    const AttentionBenchOptions& options,
    const std::function<void(const AttentionBenchResult&)>& report) {
  std::vector<AttentionBenchResult> results;
  for (const AttentionBenchCase& spec : cases) {
    AttentionBenchResult result = RunCase(context, spec, options);
    Relate(results, result);
    if (report) report(result);
    results.push_back(std::move(result));
  }
  return results;
}

}  // namespace suffice::bench
