// SPDX-License-Identifier: Apache-2.0
#include "lib/sparsify/attention_run.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "lib/base/error.h"
#include "lib/stats/inference.h"

namespace suffice::sparsify {
namespace {

float ScaleOf(const AttentionInputs& in) {
  return in.scale != 0 ? in.scale : 1.0f / std::sqrt(static_cast<float>(in.q.dim(3)));
}

// Runs an operation to its end and adds what it took.
template <class Params>
void Timed(Context& context, const Params& params, double* seconds) {
  const auto start = std::chrono::steady_clock::now();
  context.Run(params);
  context.backend().synchronize(context);
  *seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

Tensor Pool(Context& context, const View& x, int block, double* seconds) {
  Tensor pooled(context, DType::kF32, {x.dim(0), x.dim(1), BlockCount(x.dim(2), block), x.dim(3)});
  Timed(context, PoolParams{x, pooled, block}, seconds);
  return pooled;
}

}  // namespace

AttentionResult RunAttention(Context& context, const AttentionInputs& in, const LayerPlan& plan,
                             const View& given, Wanted wanted) {
  const int64_t batch = in.q.dim(0), heads = in.q.dim(1), n_q = in.q.dim(2), n_k = in.k.dim(2);
  const int64_t t_q = BlockCount(n_q, in.block.q), t_k = BlockCount(n_k, in.block.k);
  AttentionResult result;
  const bool dense = plan.dense && given.empty();
  if (!dense || wanted == Wanted::kMaskOnly) {
    result.lists = ListStorage(context, batch * heads * t_q, 0, batch * heads * t_q * t_k, false);
    SelectParams select;
    Tensor settings, q_pooled, k_pooled;
    if (!given.empty()) {
      select.rule = SelectRule::kMask;
      select.given = given;
    } else {
      ApplyPlan(plan, context, &select, &settings);
    }
    if (in.scores.empty()) {
      q_pooled = Pool(context, in.q, in.block.q, &result.seconds.pool);
      k_pooled = Pool(context, in.k, in.block.k, &result.seconds.pool);
      select.q_pooled = q_pooled;
      select.k_pooled = k_pooled;
    } else {
      select.scores = in.scores;
    }
    select.scale = ScaleOf(in);
    select.n_q = n_q;
    select.n_k = n_k;
    select.block = in.block;
    select.mask = in.mask;
    select.rows = result.lists.rows();
    const Tensor flag = Tensor::Zeros(context, DType::kI32, {1});
    select.nan_flag = flag;
    Timed(context, select, &result.seconds.select);
    result.scores_nan = flag.ToHost().values<int32_t>()[0] != 0;
    result.pairs = CountPairs(result.lists, batch * heads, n_q, n_k, in.block, in.mask);
  } else {
    result.pairs = DensePairs(batch * heads, n_q, n_k, in.mask);
  }
  if (wanted == Wanted::kMaskOnly) return result;

  result.o = Tensor(context, in.q.dtype, in.q.shape);
  result.lse = Tensor(context, DType::kF32, {batch, heads, n_q});
  AttendParams attend;
  attend.q = in.q;
  attend.k = in.k;
  attend.v = in.v;
  attend.o = result.o;
  attend.lse = result.lse;
  if (!dense) attend.rows = result.lists.rows();
  attend.scale = ScaleOf(in);
  attend.block = in.block;
  attend.mask = in.mask;
  Timed(context, attend, &result.seconds.attend);
  return result;
}

std::vector<double> KeptMass(Context& context, const AttentionInputs& in, const Tensor& lse,
                             const std::vector<int64_t>& rows) {
  const int64_t sequences = in.q.dim(0) * in.q.dim(1), n_q = in.q.dim(2);
  const int64_t count = rows.empty() ? n_q : static_cast<int64_t>(rows.size());
  const Tensor full(context, DType::kF32, {in.q.dim(0), in.q.dim(1), count});
  FullLseParams params;
  params.q = in.q;
  params.k = in.k;
  Tensor ids;
  if (!rows.empty()) {
    ids = Tensor::FromHost(context, HostArray::From<int64_t>({count}, rows));
    params.row_ids = ids;
  }
  params.lse_full = full;
  params.scale = ScaleOf(in);
  params.mask = in.mask;
  context.Run(params);
  const HostArray full_host = full.ToHost();
  const HostArray kept_host = lse.ToHost();
  std::vector<double> mass;
  for (int64_t s = 0; s < sequences; ++s) {
    for (int64_t i = 0; i < count; ++i) {
      const int64_t row = rows.empty() ? i : rows[static_cast<size_t>(i)];
      const double l_full = full_host.values<float>()[static_cast<size_t>(s * count + i)];
      const double l_kept = kept_host.values<float>()[static_cast<size_t>(s * n_q + row)];
      if (std::isinf(l_full) && l_full < 0) continue;  // sees no key at all
      mass.push_back(std::min(1.0, std::exp(l_kept - l_full)));
    }
  }
  return mass;
}

StepSeconds& StepSeconds::operator+=(const StepSeconds& other) {
  pool += other.pool;
  select += other.select;
  attend += other.attend;
  return *this;
}

void ErrorSums::Add(const HostArray& found, const HostArray& wanted) {
  SUFFICE_CHECK(found.shape() == wanted.shape());
  const HostArray a = found.Cast(DType::kF32), b = wanted.Cast(DType::kF32);
  Add(a.values<float>(), b.values<float>());
}

void ErrorSums::Add(std::span<const float> found, std::span<const float> wanted) {
  for (size_t i = 0; i < found.size(); ++i) {
    const double reference = wanted[i];
    const double difference = double{found[i]} - reference;
    d1 += std::fabs(difference);
    d2 += difference * difference;
    n1 += std::fabs(reference);
    n2 += reference * reference;
  }
}

double ErrorSums::l1() const { return n1 > 0 ? d1 / n1 : 0; }
double ErrorSums::l2() const { return n2 > 0 ? std::sqrt(d2 / n2) : 0; }

MassSummary Summarize(const std::vector<double>& mass) {
  if (mass.empty()) return {};
  return {Mean(mass), Quantile(mass, 0.1), *std::min_element(mass.begin(), mass.end())};
}

}  // namespace suffice::sparsify
