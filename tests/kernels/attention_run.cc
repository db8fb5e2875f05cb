// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "tests/kernels/attention_cases.h"

namespace suffice::testing {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr int64_t kPadding = 8;

// A (B, H, N, D) tensor, contiguous or as (B, N, H, D + padding) in memory.
class Operand {
 public:
  Operand(Context& context, DType dtype, const Shape& shape, bool strided)
      : strided_(strided), shape_(shape) {
    memory_ = Tensor::FromHost(context, Filled(dtype, MemoryShape()));
  }

  void Set(const std::vector<float>& values) {
    HostArray host = memory_.ToHost().Cast(DType::kF32);
    size_t at = 0;
    ForEach(
        [&](int64_t offset) { host.values<float>()[static_cast<size_t>(offset)] = values[at++]; });
    memory_.CopyFromHost(host.Cast(memory_.dtype()));
  }

  std::vector<float> Get() const {
    const HostArray host = memory_.ToHost().Cast(DType::kF32);
    std::vector<float> values;
    ForEach([&](int64_t o) { values.push_back(host.values<float>()[static_cast<size_t>(o)]); });
    return values;
  }

  View view() const {
    if (!strided_) return memory_;
    return memory_.view().slice(3, 0, shape_[3]).transpose(1, 2);
  }

  // Whether the memory between the rows is as it was made.
  bool PaddingUntouched() const {
    if (!strided_) return true;
    const Tensor padding = memory_;
    const HostArray host = memory_.ToHost().Cast(DType::kF32);
    const int64_t width = shape_[3] + kPadding;
    for (int64_t i = 0; i < host.shape().elements(); ++i) {
      const bool pad = i % width >= shape_[3];
      if (pad && !std::isnan(host.values<float>()[static_cast<size_t>(i)])) return false;
    }
    return true;
  }

 private:
  static HostArray Filled(DType dtype, const Shape& shape) {
    HostArray host(DType::kF32, shape);
    for (float& x : host.values<float>()) x = kNan;
    return host.Cast(dtype);
  }

  Shape MemoryShape() const {
    if (!strided_) return shape_;
    return {shape_[0], shape_[2], shape_[1], shape_[3] + kPadding};
  }

  template <class F>
  void ForEach(F f) const {
    const View v = view();
    for (int64_t b = 0; b < shape_[0]; ++b) {
      for (int64_t h = 0; h < shape_[1]; ++h) {
        for (int64_t n = 0; n < shape_[2]; ++n) {
          for (int64_t d = 0; d < shape_[3]; ++d) {
            f(b * v.stride(0) + h * v.stride(1) + n * v.stride(2) + d);
          }
        }
      }
    }
  }

  bool strided_;
  Shape shape_;
  Tensor memory_;
};

// Row lists of the mask, or with `columns` its transpose; the tail is 0xFFFF.
struct Lists {
  Tensor ptr, ids;
  BlockLists view() const { return {ptr, ids}; }
};

Lists MakeLists(Context& context, const CaseMask& mask, bool columns) {
  const int64_t outer = columns ? mask.t_k : mask.t_q;
  const int64_t inner = columns ? mask.t_q : mask.t_k;
  std::vector<int64_t> ptr = {0};
  std::vector<uint16_t> ids;
  for (int64_t head = 0; head < mask.rows; ++head) {
    for (int64_t o = 0; o < outer; ++o) {
      for (int64_t n = 0; n < inner; ++n) {
        if (columns ? mask.kept(head, n, o) : mask.kept(head, o, n)) {
          ids.push_back(static_cast<uint16_t>(n));
        }
      }
      ptr.push_back(static_cast<int64_t>(ids.size()));
    }
  }
  ids.resize(mask.keep.size() + 3, 0xFFFF);
  const auto rows = static_cast<int64_t>(ptr.size());
  const auto capacity = static_cast<int64_t>(ids.size());
  return {Tensor::FromHost(context, HostArray::From<int64_t>({rows}, ptr)),
          Tensor::FromHost(context, HostArray::From<uint16_t>({capacity}, ids))};
}

}  // namespace

AttentionResult RunAttention(Context& context, const AttentionProblem& problem, bool backward) {
  const AttentionCase& c = problem.shape;
  const Shape q_shape = {c.batch, c.heads, c.n_q, c.dim};
  const Shape k_shape = {c.batch, c.kv_heads, c.n_k, c.dim};
  const auto operand = [&](const Shape& shape) {
    return Operand(context, problem.dtype, shape, c.strided);
  };
  Operand q = operand(q_shape), k = operand(k_shape), v = operand(k_shape);
  Operand o = operand(q_shape);
  q.Set(problem.q);
  k.Set(problem.k);
  v.Set(problem.v);
  const std::vector<float> poison(static_cast<size_t>(c.batch * c.heads * c.n_q), kNan);
  const Tensor lse =
      Tensor::FromHost(context, HostArray::From<float>({c.batch, c.heads, c.n_q}, poison));
  const bool dense = c.lists == CaseLists::kNone;
  const Lists rows = MakeLists(context, problem.mask, false);
  const Lists columns = MakeLists(context, problem.mask, true);

  AttendParams forward;
  forward.q = q.view();
  forward.k = k.view();
  forward.v = v.view();
  forward.o = o.view();
  forward.lse = lse;
  if (!dense) forward.rows = rows.view();
  forward.scale = problem.scale;
  forward.block = c.block;
  forward.mask.causal = c.causal;
  context.Run(forward);

  AttentionResult result;
  result.o = o.Get();
  const HostArray lse_host = lse.ToHost();
  result.lse.assign(lse_host.values<float>().begin(), lse_host.values<float>().end());
  EXPECT_TRUE(o.PaddingUntouched());
  if (!backward) return result;

  Operand d_o = operand(q_shape), dq = operand(q_shape), dk = operand(k_shape),
          dv = operand(k_shape);
  d_o.Set(problem.d_o);
  AttendBackwardParams gradient;
  gradient.q = q.view();
  gradient.k = k.view();
  gradient.v = v.view();
  gradient.o = o.view();
  gradient.lse = lse;
  gradient.d_o = d_o.view();
  gradient.dq = dq.view();
  gradient.dk = dk.view();
  gradient.dv = dv.view();
  if (!dense) {
    gradient.rows = rows.view();
    gradient.columns = columns.view();
  }
  gradient.scale = problem.scale;
  gradient.block = c.block;
  gradient.mask.causal = c.causal;
  context.Run(gradient);
  result.dq = dq.Get();
  result.dk = dk.Get();
  result.dv = dv.Get();
  EXPECT_TRUE(dq.PaddingUntouched() && dk.PaddingUntouched() && dv.PaddingUntouched());
  return result;
}

AttentionResult PlainAttention(const AttentionProblem& problem) {
  const AttentionCase& c = problem.shape;
  const bool narrow = problem.dtype == DType::kBF16;
  const auto round = [&](float x) { return narrow ? ToFloat(ToBFloat16(x)) : x; };
  const auto dot = [&](const float* a, const float* b) {
    float sum = 0.0f;
    for (int64_t d = 0; d < c.dim; ++d) sum += a[d] * b[d];
    return sum;
  };
  const int64_t dim = c.dim;
  AttentionResult result;
  result.o.assign(problem.q.size(), 0.0f);
  result.dq = result.o;
  result.lse.assign(result.o.size() / static_cast<size_t>(dim),
                    -std::numeric_limits<float>::infinity());
  result.dk.assign(problem.k.size(), 0.0f);
  result.dv = result.dk;

  for (int64_t head = 0; head < c.batch * c.heads; ++head) {
    const int64_t key_head = head / (c.heads / c.kv_heads);
    for (int64_t t = 0; t < c.n_q; ++t) {
      const int64_t at = (head * c.n_q + t) * dim;
      const float* q = &problem.q[static_cast<size_t>(at)];
      const float* d_o = &problem.d_o[static_cast<size_t>(at)];
      float* o = &result.o[static_cast<size_t>(at)];
      float* dq = &result.dq[static_cast<size_t>(at)];
      std::vector<int64_t> keys;
      for (int64_t key = 0; key < c.n_k; ++key) {
        const bool kept = problem.mask.kept(head, t / c.block.q, key / c.block.k);
        if (kept && problem.sees(t, key)) keys.push_back((key_head * c.n_k + key) * dim);
      }
      if (keys.empty()) continue;
      std::vector<float> p;
      float max = -std::numeric_limits<float>::infinity();
      for (const int64_t key : keys) {
        p.push_back(problem.scale * dot(q, &problem.k[static_cast<size_t>(key)]));
        max = std::max(max, p.back());
      }
      float total = 0.0f;
      const std::vector<float> scores = p;
      for (float& x : p) total += x = std::exp(x - max);
      const float lse = max + std::log(total);
      result.lse[static_cast<size_t>(head * c.n_q + t)] = lse;
      for (size_t n = 0; n < keys.size(); ++n) {
        const float* v = &problem.v[static_cast<size_t>(keys[n])];
        for (int64_t d = 0; d < dim; ++d) o[d] += round(p[n]) * v[d];
      }
      float delta = 0.0f;
      for (int64_t d = 0; d < dim; ++d) {
        o[d] = round(o[d] / total);
        delta += o[d] * d_o[d];
      }
      for (size_t n = 0; n < keys.size(); ++n) {
        const auto key = static_cast<size_t>(keys[n]);
        const float weight = std::exp(scores[n] - lse);
        const float ds = round(weight * (dot(d_o, &problem.v[key]) - delta));
        for (int64_t d = 0; d < dim; ++d) {
          const auto e = key + static_cast<size_t>(d);
          dq[d] += ds * problem.k[e];
          result.dk[e] += ds * q[d];
          result.dv[e] += round(weight) * d_o[d];
        }
      }
      for (int64_t d = 0; d < dim; ++d) dq[d] = round(dq[d] * problem.scale);
    }
  }
  for (float& x : result.dk) x = round(x * problem.scale);
  for (float& x : result.dv) x = round(x);
  return result;
}

}  // namespace suffice::testing
