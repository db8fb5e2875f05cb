// SPDX-License-Identifier: Apache-2.0
#include "kernels/bench/attention_bench.h"

#include <algorithm>
#include <chrono>
#include <memory>

#include "kernels/bench/attention_work.h"
#include "kernels/bench/device_probe.h"
#include "kernels/bench/median.h"
#include "kernels/bench/peak.h"

namespace suffice::bench {
namespace {

using Clock = std::chrono::steady_clock;

struct Timing {
  std::vector<double> seconds;  // of each repetition
  std::vector<double> without;  // the same of what is subtracted
  // GFLOP/s between repetitions on a host: one more than those; before and after all on a GPU.
  std::vector<double> peaks;
  std::optional<double> copy_bytes_per_second;
};

// The first call, which also touches the memory, is not counted. The ceiling is measured between
// repetitions, while the processor is as warm as they make it: its clock drifts by several per cent
// within a run, and from a burst to sustained work.
class HostTimer {
 public:
  HostTimer(Context& context, const AttentionBenchOptions& options)
      : context_(context), options_(options) {}

  Timing Time(const AttentionWork& work, std::optional<DType> peak_of) const {
    Timing timing;
    const auto peak = [&] {
      if (!peak_of) return;
      if (const auto gflops = MeasurePeak(context_, *peak_of)) timing.peaks.push_back(*gflops);
    };
    Once(work.run);
    peak();
    double total = 0.0;
    for (int n = 0; n < options_.max_repetitions; ++n) {
      if (n >= options_.min_repetitions && total >= options_.seconds) break;
      if (work.without) timing.without.push_back(Once(work.without));
      timing.seconds.push_back(Once(work.run));
      total += timing.seconds.back();
      peak();
    }
    return timing;
  }

 private:
  double Once(const std::function<void()>& run) const {
    const auto begin = Clock::now();
    run();
    context_.backend().synchronize(context_);
    return std::chrono::duration<double>(Clock::now() - begin).count();
  }

  Context& context_;
  const AttentionBenchOptions& options_;
};

// Time of the device's own clock. Ceilings are measured just before and just after a case, when the
// GPU is as warm as the case makes it.
class DeviceTimer {
 public:
  DeviceTimer(Context& context, DeviceProbe& probe, const AttentionBenchOptions& options)
      : probe_(probe), options_(options), ceilings_(context, probe) {}

  Timing Time(const AttentionWork& work, bool of_product, bool of_copy) {
    Timing timing;
    const auto product = [&] {
      if (of_product) timing.peaks.push_back(ceilings_.ProductGflops());
    };
    product();
    if (of_copy) timing.copy_bytes_per_second = ceilings_.CopyBytesPerSecond();
    if (work.without) {
      // In turns: a difference of two that drift apart would be their drift.
      constexpr int kTurns = 5;
      for (int turn = 0; turn < kTurns; ++turn) {
        Append(timing.without, work.without, work.replay, kTurns);
        Append(timing.seconds, work.run, work.replay, kTurns);
      }
    } else {
      Append(timing.seconds, work.run, work.replay, 1);
    }
    product();
    return timing;
  }

 private:
  void Append(std::vector<double>& seconds, const std::function<void()>& run, bool replay,
              int turns) {
    const Repetitions repetitions = {.fewest = options_.min_repetitions,
                                     .most = std::max(options_.max_device_repetitions / turns, 1),
                                     .seconds = options_.seconds / turns};
    const std::vector<double> more = probe_.Time(run, repetitions, replay);
    seconds.insert(seconds.end(), more.begin(), more.end());
  }

  DeviceProbe& probe_;
  const AttentionBenchOptions& options_;
  DeviceCeilings ceilings_;
};

class Bench {
 public:
  Bench(Context& context, const AttentionBenchOptions& options)
      : context_(context), options_(options), probe_(OpenDeviceProbe(context)) {
    if (probe_) device_timer_ = std::make_unique<DeviceTimer>(context, *probe_, options);
  }

  AttentionBenchResult Run(const AttentionBenchCase& spec);

 private:
  Timing Time(const AttentionBenchCase& spec, const AttentionWork& work) {
    const bool counts = CountsFlops(spec.operation);
    if (device_timer_) {
      return device_timer_->Time(work, counts && spec.dtype == DType::kBF16,
                                 ReadsQAndK(spec.operation));
    }
    return HostTimer(context_, options_)
        .Time(work, counts ? std::optional(spec.dtype) : std::nullopt);
  }
  void Rate(double gflop, const Timing& timing, AttentionBenchResult& result) const;

  Context& context_;
  const AttentionBenchOptions& options_;
  std::unique_ptr<DeviceProbe> probe_;
  std::unique_ptr<DeviceTimer> device_timer_;
};

void Bench::Rate(double gflop, const Timing& timing, AttentionBenchResult& result) const {
  result.gflops = gflop / result.seconds;
  if (timing.peaks.empty()) return;
  if (device_timer_) {
    result.peak_gflops = *std::max_element(timing.peaks.begin(), timing.peaks.end());
    result.share_of_peak = result.gflops / *result.peak_gflops;
    return;
  }
  std::vector<double> ceilings, shares;
  for (size_t n = 0; n < timing.seconds.size(); ++n) {
    ceilings.push_back(std::max(timing.peaks[n], timing.peaks[n + 1]));
    shares.push_back(gflop / timing.seconds[n] / ceilings.back());
  }
  result.peak_gflops = Median(ceilings);
  result.share_of_peak = Median(shares);
}

AttentionBenchResult Bench::Run(const AttentionBenchCase& spec) {
  const AttentionProblem problem(context_, spec.dtype, spec.shape, spec.rule);
  const AttentionWork work = WorkOf(context_, problem, spec);
  AttentionBenchResult result;
  result.spec = spec;
  result.backend = context_.Describe();
  result.threads = context_.pool().threads();
  if (work.absent) {
    result.absent = *work.absent;
    return result;
  }
  if (work.prepare) work.prepare();
  if (work.without) work.without();  // its workspace too is there before anything is captured
  work.run();
  result.error = work.error();
  if (!(result.error <= work.bound)) {
    throw CheckFailedError("{}: error {:.3g}, at most {:.3g} wanted", NameOf(spec), result.error,
                           work.bound);
  }
  result.density = work.density();

  const Timing timing = Time(spec, work);
  result.seconds = Median(timing.seconds);
  if (work.without) result.seconds -= Median(timing.without);
  result.repetitions = static_cast<int>(timing.seconds.size());
  if (CountsFlops(spec.operation)) {
    const double flops = FlopsPerForward(spec.operation) * problem.FlopsAt(result.density);
    Rate(flops * 1e-9, timing, result);
  }
  if (timing.copy_bytes_per_second) {
    result.copy_bytes_per_second = timing.copy_bytes_per_second;
    result.share_of_copy = problem.BytesOfQAndK() / result.seconds / *timing.copy_bytes_per_second;
  }
  return result;
}

bool SameTensors(const AttentionBenchCase& a, const AttentionBenchCase& b) {
  return a.dtype == b.dtype && a.shape.batch == b.shape.batch && a.shape.heads == b.shape.heads &&
         a.shape.n == b.shape.n && a.shape.dim == b.shape.dim;
}

bool SameLists(const AttentionBenchCase& a, const AttentionBenchCase& b) {
  return a.shape.block == b.shape.block && a.shape.density == b.shape.density &&
         a.shape.spread == b.shape.spread;
}

// Fills in what relates a result to an earlier one of the run. Dense attention is the same whatever
// its blocks.
void Relate(std::span<const AttentionBenchResult> earlier, AttentionBenchResult& result) {
  using enum AttentionOperation;
  if (!result.absent.empty()) return;
  const AttentionOperation operation = result.spec.operation;
  const bool attends = operation == kAttend || operation == kAttendBackward;
  for (const AttentionBenchResult& other : earlier) {
    if (!other.absent.empty() || !SameTensors(other.spec, result.spec)) continue;
    if (!attends && other.spec.operation == kAttend && SameLists(other.spec, result.spec)) {
      result.seconds_to_attend = result.seconds / other.seconds;
    }
    const AttentionOperation dense = operation == kLayer ? kAttend : operation;
    if (CountsFlops(operation) && other.spec.operation == dense &&
        other.spec.shape.density >= 1.0) {
      result.rate_to_dense = result.gflops / other.gflops;
    }
  }
}

}  // namespace

std::vector<AttentionBenchCase> StandardAttentionCases(DeviceKind kind) {
  return kind == DeviceKind::kCuda ? DeviceAttentionCases() : HostAttentionCases();
}

std::vector<AttentionBenchResult> RunAttentionBench(
    Context& context, std::span<const AttentionBenchCase> cases,
    const AttentionBenchOptions& options,
    const std::function<void(const AttentionBenchResult&)>& report) {
  Bench bench(context, options);
  std::vector<AttentionBenchResult> results;
  for (const AttentionBenchCase& spec : cases) {
    AttentionBenchResult result = bench.Run(spec);
    Relate(results, result);
    if (report) report(result);
    results.push_back(std::move(result));
  }
  return results;
}

}  // namespace suffice::bench
