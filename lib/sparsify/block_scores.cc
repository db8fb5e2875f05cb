// SPDX-License-Identifier: Apache-2.0
#include "lib/sparsify/block_scores.h"

#include <algorithm>
#include <cmath>

#include "lib/base/error.h"

namespace suffice::sparsify {
namespace {

struct Sizes {
  explicit Sizes(const AttentionInputs& in)
      : heads(in.q.dim(0) * in.q.dim(1)),
        shared(in.q.dim(1) / in.k.dim(1)),
        n_q(in.q.dim(2)),
        n_k(in.k.dim(2)),
        t_q(BlockCount(n_q, in.block.q)),
        t_k(BlockCount(n_k, in.block.k)),
        dim(in.q.dim(3)) {}
  // With H a multiple of H_kv, query head n of all (b, h) reads key head n / shared of all.
  size_t KeyRow(int64_t head, int64_t j) const {
    return static_cast<size_t>((head / shared * t_k + j) * dim);
  }
  size_t QueryRow(int64_t head, int64_t i) const {
    return static_cast<size_t>((head * t_q + i) * dim);
  }
  int64_t heads, shared, n_q, n_k, t_q, t_k, dim;
};

HostArray Pooled(Context& context, const View& x, int block) {
  const Tensor pooled(context, DType::kF32,
                      {x.dim(0), x.dim(1), BlockCount(x.dim(2), block), x.dim(3)});
  context.Run(PoolParams{x, pooled, block});
  return pooled.ToHost();
}

double ScaleOf(const AttentionInputs& in) {
  return in.scale != 0 ? double{in.scale} : 1 / std::sqrt(static_cast<double>(in.q.dim(3)));
}

// scores[head, i, j] = score(head, i, j), heads side by side.
template <class Score>
HostArray Fill(Context& context, const AttentionInputs& in, const Score& score) {
  const Sizes n(in);
  HostArray scores(DType::kF32, {in.q.dim(0), in.q.dim(1), n.t_q, n.t_k});
  float* out = scores.values<float>().data();
  context.pool().ParallelFor(n.heads * n.t_q, 1, [&](int64_t row, int) {
    for (int64_t j = 0; j < n.t_k; ++j)
      out[row * n.t_k + j] = static_cast<float>(score(row / n.t_q, row % n.t_q, j));
  });
  return scores;
}

// Variance by channel of each block's keys, of the values as they are stored: (B * H_kv, T_k, D).
// Two passes in double over the host's copy. A pooled k * k would lose what is small beside the
// square of the mean, and needs an operation that nothing else does.
std::vector<double> KeyVariances(Context& context, const Sizes& n, int block, const HostArray& k) {
  const HostArray as_float = k.Cast(DType::kF32);
  const float* from = as_float.values<float>().data();
  const int64_t rows = n.heads / n.shared * n.t_k;
  std::vector<double> variances(static_cast<size_t>(rows * n.dim));
  context.pool().ParallelFor(rows, 1, [&](int64_t row, int) {
    const int64_t begin = row % n.t_k * block, end = std::min(begin + block, n.n_k);
    const float* keys = from + (row / n.t_k * n.n_k + begin) * n.dim;
    const auto count = static_cast<double>(end - begin);
    for (int64_t d = 0; d < n.dim; ++d) {
      double mean = 0, square = 0;
      for (int64_t t = 0; t < end - begin; ++t) mean += double{keys[t * n.dim + d]} / count;
      for (int64_t t = 0; t < end - begin; ++t) {
        const double away = double{keys[t * n.dim + d]} - mean;
        square += away * away;
      }
      variances[static_cast<size_t>(row * n.dim + d)] = square / count;
    }
  });
  return variances;
}

}  // namespace

HostArray MeanScores(Context& context, const AttentionInputs& in) {
  const Sizes n(in);
  const HostArray q = Pooled(context, in.q, in.block.q), k = Pooled(context, in.k, in.block.k);
  const double scale = ScaleOf(in);
  return Fill(context, in, [&](int64_t head, int64_t i, int64_t j) {
    const float *a = q.values<float>().data() + n.QueryRow(head, i),
                *b = k.values<float>().data() + n.KeyRow(head, j);
    double dot = 0;
    for (int64_t d = 0; d < n.dim; ++d) dot += double{a[d]} * double{b[d]};
    return scale * dot;
  });
}

HostArray CumulantScores(Context& context, const AttentionInputs& in, const HostArray& keys) {
  SUFFICE_CHECK(keys.shape() == in.k.shape);
  const Sizes n(in);
  const HostArray q = Pooled(context, in.q, in.block.q), k = Pooled(context, in.k, in.block.k);
  const std::vector<double> variances = KeyVariances(context, n, in.block.k, keys);
  const double scale = ScaleOf(in);
  return Fill(context, in, [&](int64_t head, int64_t i, int64_t j) {
    const float *a = q.values<float>().data() + n.QueryRow(head, i),
                *b = k.values<float>().data() + n.KeyRow(head, j);
    const double* variance = variances.data() + n.KeyRow(head, j);
    double dot = 0, spread = 0;
    for (int64_t d = 0; d < n.dim; ++d) {
      dot += double{a[d]} * double{b[d]};
      spread += double{a[d]} * double{a[d]} * variance[d];
    }
    const int64_t count = std::min((j + 1) * in.block.k, n.n_k) - j * in.block.k;
    return scale * dot + std::log(static_cast<double>(count)) + 0.5 * scale * scale * spread;
  });
}

HostArray OracleScores(Context& context, const AttentionInputs& in, const Tensor& lse) {
  const Sizes n(in);
  const HostArray all = lse.ToHost();
  HostArray scores(DType::kF32, {in.q.dim(0), in.q.dim(1), n.t_q, n.t_k});
  // Block by block, so that no N_q x T_k array is needed and every backend can: the log-sum-exp
  // over the keys of block j alone.
  const Tensor of_block(context, DType::kF32, {in.q.dim(0), in.q.dim(1), n.n_q});
  for (int64_t j = 0; j < n.t_k; ++j) {
    const int64_t begin = j * in.block.k;
    FullLseParams params;
    params.q = in.q;
    params.k = in.k.slice(2, begin, std::min(begin + in.block.k, n.n_k));
    params.lse_full = of_block;
    params.scale = static_cast<float>(ScaleOf(in));
    context.Run(params);
    const HostArray part = of_block.ToHost();
    for (int64_t row = 0; row < n.heads * n.t_q; ++row) {
      const int64_t first = row % n.t_q * in.block.q, last = std::min(first + in.block.q, n.n_q);
      double mass = 0;
      for (int64_t t = first; t < last; ++t) {
        const auto at = static_cast<size_t>(row / n.t_q * n.n_q + t);
        mass += std::exp(double{part.values<float>()[at]} - double{all.values<float>()[at]});
      }
      scores.values<float>()[static_cast<size_t>(row * n.t_k + j)] =
          static_cast<float>(std::log(mass / static_cast<double>(last - first)));
    }
  }
  return scores;
}

std::vector<double> RowEntropies(const HostArray& scores) {
  const auto blocks = static_cast<size_t>(scores.shape()[3]);
  const auto values = scores.values<float>();
  std::vector<double> entropies;
  for (size_t begin = 0; begin < values.size(); begin += blocks) {
    const auto row = values.subspan(begin, blocks);
    const double most = *std::max_element(row.begin(), row.end());
    // With z = sum exp(x - most): H = log z - sum (x - most) exp(x - most) / z.
    double z = 0, weighted = 0;
    for (const float x : row) {
      const double away = double{x} - most, weight = std::exp(away);
      z += weight;
      weighted += weight > 0 ? weight * away : 0;
    }
    const double entropy = std::log(z) - weighted / z;
    entropies.push_back(blocks > 1 ? entropy / std::log(static_cast<double>(blocks)) : 0);
  }
  return entropies;
}

}  // namespace suffice::sparsify
