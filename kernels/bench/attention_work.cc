// SPDX-License-Identifier: Apache-2.0
#include "kernels/bench/attention_work.h"

namespace suffice::bench {
namespace {

constexpr double kPooledBound = 2e-6;  // of fp32 means

// Why the context cannot run one of these, or nothing.
template <class Params>
std::optional<std::string> Absent(const Context& context, const Params& params) {
  const auto& operation = context.backend().*OperationTraits<Params>::kMember;
  constexpr const char* kName = OperationTraits<Params>::kName;
  if (operation.run == nullptr) return fmt::format("{}: not in this build", kName);
  if (auto reason = operation.supports(context, params)) {
    return fmt::format("{}: {}", kName, *reason);
  }
  return std::nullopt;
}
template <class First, class... Rest>
std::optional<std::string> Absent(const Context& context, const First& first, const Rest&... rest) {
  if (auto reason = Absent(context, first)) return reason;
  return Absent(context, rest...);
}

template <class... Params>
std::function<void()> Sequence(Context& context, const Params&... params) {
  return [&context, params...] { (context.Run(params), ...); };
}

double OutputBound(DType dtype, bool backward) {
  if (dtype != DType::kBF16) return 2e-6;
  return backward ? 8e-3 : 4e-3;
}

}  // namespace

AttentionWork WorkOf(Context& context, const AttentionProblem& problem,
                     const AttentionBenchCase& spec) {
  using enum AttentionOperation;
  const PoolParams pool_q = problem.PoolQ(), pool_k = problem.PoolK();
  const SelectParams select = problem.Select(false);
  AttentionWork work;
  work.density = [&] { return problem.density(); };
  const auto make = [&](const auto&... params) {
    work.absent = Absent(context, params...);
    if (!work.absent) work.run = Sequence(context, params...);
  };
  // Selections are as exact as the scores: the tests compare them block by block.
  const auto selects = [&] {
    work.replay = true;
    work.error = [&] { return problem.SelectError(problem.Selected()); };
    work.density = [&] { return problem.DensityOf(problem.Selected()); };
  };
  switch (spec.operation) {
    case kAttend:
      make(problem.Forward());
      work.error = [&] { return problem.ForwardError(); };
      work.bound = OutputBound(spec.dtype, false);
      break;
    case kAttendBackward:
      make(problem.Backward());
      if (!work.absent) work.absent = Absent(context, problem.Forward());
      work.prepare = Sequence(context, problem.Forward());
      work.error = [&] { return problem.BackwardError(); };
      work.bound = OutputBound(spec.dtype, true);
      break;
    case kSelect:
      make(pool_q, pool_k, select);
      selects();
      break;
    case kPool:
      make(pool_q, pool_k);
      work.replay = true;
      work.error = [&] { return problem.PoolError(); };
      work.bound = kPooledBound;
      break;
    case kScoreSelect:
      make(select);
      if (!work.absent) work.absent = Absent(context, pool_q, pool_k);
      work.prepare = Sequence(context, pool_q, pool_k);
      selects();
      break;
    case kTranspose:
      make(problem.Select(true));
      if (!work.absent) work.absent = Absent(context, pool_q, pool_k);
      work.prepare = Sequence(context, pool_q, pool_k);
      work.without = Sequence(context, select);
      selects();
      work.error = [&] { return problem.TransposeError(); };
      break;
    case kLayer:
      make(problem.FusedPool(true), select, problem.ForwardOfSelected());
      work.without = Sequence(context, problem.FusedPool(false));
      selects();
      work.error = [&] {
        const HostLists rows = problem.Selected();
        return problem.ErrorOfForward(&rows);
      };
      work.bound = OutputBound(spec.dtype, false);
      break;
    case kPoolFused:
      make(problem.FusedPool(true));
      work.without = Sequence(context, problem.FusedPool(false));
      work.replay = true;
      work.error = [&] { return problem.FusedPoolError(); };
      work.bound = kPooledBound;
      break;
    case kSelectFused:
      make(problem.FusedPool(true), select);
      work.without = Sequence(context, problem.FusedPool(false));
      work.replay = true;
      work.error = [&] { return problem.FusedPoolError(); };
      work.bound = kPooledBound;
      work.density = [&] { return problem.DensityOf(problem.Selected()); };
      break;
  }
  return work;
}

}  // namespace suffice::bench
