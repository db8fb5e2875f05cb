// SPDX-License-Identifier: Apache-2.0
// The host's side of AttentionProblem: sampled rows from the definition, in double.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <span>

#include "kernels/bench/attention_problem.h"

namespace suffice::bench {
namespace {

constexpr int64_t kSamples = 48;          // of queries, forward
constexpr int64_t kBackwardSamples = 12;  // of queries and of keys
constexpr int64_t kSelectSamples = 16;    // of query blocks
// Scores closer than this, as a share of a row's range, are ties to fp32 sums of other orders.
constexpr double kTie = 1e-4;

// Sums of squares of a difference and of what it is relative to.
struct Relative {
  double difference = 0.0;
  double norm = 0.0;
  void Add(double value, double expected) {
    difference += (value - expected) * (value - expected);
    norm += expected * expected;
  }
  void Add(const Relative& other) {
    difference += other.difference;
    norm += other.norm;
  }
  double error() const { return std::sqrt(difference / norm); }
};

// Calls body(token) for each token of the listed blocks, or for all n without a list.
template <class Body>
void ForTokens(const HostLists* lists, int64_t row, int block, int64_t n, const Body& body) {
  if (lists == nullptr) {
    for (int64_t t = 0; t < n; ++t) body(t);
    return;
  }
  for (const uint16_t id : lists->row(row)) {
    for (int64_t t = int64_t{id} * block; t < std::min(n, (int64_t{id} + 1) * block); ++t) body(t);
  }
}

// Blocks that the rule keeps by these weights in descending order, with the top-p prefix moved by
// `slack` blocks.
int64_t Kept(SelectRule rule, SelectSetting setting, std::span<const double> weights,
             int64_t slack) {
  const auto blocks = static_cast<int64_t>(weights.size());
  const int64_t k =
      std::clamp<int64_t>((int64_t{2} * setting.k_ppm * blocks + 1'000'000) / 2'000'000, 1, blocks);
  if (rule == SelectRule::kTopK) return k;
  const double wanted = 1e-6 * setting.p_ppm * std::reduce(weights.begin(), weights.end());
  int64_t p = 0;
  for (double mass = 0.0; p < blocks && mass < wanted; ++p) mass += weights[static_cast<size_t>(p)];
  p = std::clamp<int64_t>(p + slack, 1, blocks);
  return rule == SelectRule::kTopP ? p : std::max(k, p);
}

}  // namespace

// A (B, H, N, D) array on the host, read as double.
class AttentionProblem::HostRows {
 public:
  explicit HostRows(const DeviceArray& array)
      : dtype_(array.view().dtype),
        tokens_(array.view().dim(2)),
        dim_(array.view().dim(3)),
        bytes_(array.view().bytes()) {
    array.Get(bytes_.data());
  }
  double at(Place place, int64_t d) const {
    const int64_t i = (place.head * tokens_ + place.token) * dim_ + d;
    if (dtype_ == DType::kBF16) {
      return double{ToFloat(reinterpret_cast<const BFloat16*>(bytes_.data())[i])};
    }
    return double{reinterpret_cast<const float*>(bytes_.data())[i]};
  }
  double Dot(Place place, const HostRows& other, Place other_place) const {
    double sum = 0.0;
    for (int64_t d = 0; d < dim_; ++d) sum += at(place, d) * other.at(other_place, d);
    return sum;
  }
  // Means over the tokens of a block.
  std::vector<double> Mean(int64_t head, int64_t block, int size) const {
    const int64_t begin = block * size, end = std::min(tokens_, begin + size);
    std::vector<double> mean(static_cast<size_t>(dim_), 0.0);
    for (int64_t t = begin; t < end; ++t) {
      for (int64_t d = 0; d < dim_; ++d) mean[static_cast<size_t>(d)] += at({head, t}, d);
    }
    for (double& x : mean) x /= static_cast<double>(end - begin);
    return mean;
  }

 private:
  DType dtype_;
  int64_t tokens_, dim_;
  std::vector<std::byte> bytes_;
};

AttentionProblem::Place AttentionProblem::Sampled(uint64_t n) const {
  const auto draw = [&](uint64_t index, int64_t count) {
    return static_cast<int64_t>(Philox(kSeed, kSampleStream, index)[0] %
                                static_cast<uint32_t>(count));
  };
  // The last token of all is among them: it lies in the partial block, if there is one.
  if (n == 0) return {shape_.batch * shape_.heads - 1, shape_.n - 1};
  return {draw(2 * n, shape_.batch * shape_.heads), draw(2 * n + 1, shape_.n)};
}

double AttentionProblem::ErrorOfForward(const HostLists* rows) const {
  const HostRows q(q_), k(k_), v(v_), o(o_);
  std::vector<Relative> parts(kSamples);
  context_.pool().ParallelFor(kSamples, 1, [&](int64_t n, int) {
    const Place row = Sampled(static_cast<uint64_t>(n));
    std::vector<double> expected(static_cast<size_t>(shape_.dim), 0.0);
    double total = 0.0;
    const int64_t list = row.head * t_q_ + row.token / shape_.block.q;
    ForTokens(rows, list, shape_.block.k, shape_.n, [&](int64_t t) {
      const Place key = {row.head, t};
      const double p = std::exp(double{scale_} * q.Dot(row, k, key));  // normal inputs: no overflow
      total += p;
      for (int64_t d = 0; d < shape_.dim; ++d) expected[static_cast<size_t>(d)] += p * v.at(key, d);
    });
    for (int64_t d = 0; d < shape_.dim; ++d) {
      // A row of a given mask may keep nothing: o = 0.
      parts[static_cast<size_t>(n)].Add(
          o.at(row, d), total > 0.0 ? expected[static_cast<size_t>(d)] / total : 0.0);
    }
  });
  Relative relative;
  for (const Relative& part : parts) relative.Add(part);
  return relative.error();
}

double AttentionProblem::BackwardError() const {
  const HostRows q(q_), k(k_), v(v_), o(o_), d_o(d_o_), dq(dq_), dk(dk_), dv(dv_);
  const std::vector<float> lse = lse_.Values<float>();
  struct Pair {
    double p, ds;
  };
  const auto pair = [&](Place query, Place key) -> Pair {
    const float l = lse[static_cast<size_t>(query.head * shape_.n + query.token)];
    const double p = std::exp(double{scale_} * q.Dot(query, k, key) - double{l});
    const double delta = d_o.Dot(query, o, query);
    return {p, p * (d_o.Dot(query, v, key) - delta)};
  };
  struct Errors {
    Relative query, key, value;
  };
  std::vector<Errors> parts(kBackwardSamples);
  context_.pool().ParallelFor(2 * kBackwardSamples, 1, [&](int64_t task, int) {
    const int64_t n = task / 2;
    Errors& errors = parts[static_cast<size_t>(n)];
    const Place place = Sampled(static_cast<uint64_t>(n));
    std::vector<double> a(static_cast<size_t>(shape_.dim), 0.0), b(a);
    if (task % 2 == 0) {
      const int64_t list = place.head * t_q_ + place.token / shape_.block.q;
      ForTokens(keeps_all_ ? nullptr : &host_rows_, list, shape_.block.k, shape_.n, [&](int64_t t) {
        const Place key = {place.head, t};
        const double weight = double{scale_} * pair(place, key).ds;
        for (size_t d = 0; d < a.size(); ++d) a[d] += weight * k.at(key, static_cast<int64_t>(d));
      });
      for (size_t d = 0; d < a.size(); ++d) {
        errors.query.Add(dq.at(place, static_cast<int64_t>(d)), a[d]);
      }
      return;
    }
    const int64_t list = place.head * t_k_ + place.token / shape_.block.k;
    ForTokens(keeps_all_ ? nullptr : &host_columns_, list, shape_.block.q, shape_.n,
              [&](int64_t t) {
                const Place query = {place.head, t};
                const Pair x = pair(query, place);
                for (size_t d = 0; d < a.size(); ++d) {
                  a[d] += double{scale_} * x.ds * q.at(query, static_cast<int64_t>(d));
                  b[d] += x.p * d_o.at(query, static_cast<int64_t>(d));
                }
              });
    for (size_t d = 0; d < a.size(); ++d) {
      errors.key.Add(dk.at(place, static_cast<int64_t>(d)), a[d]);
      errors.value.Add(dv.at(place, static_cast<int64_t>(d)), b[d]);
    }
  });
  Errors all;
  for (const Errors& part : parts) {
    all.query.Add(part.query);
    all.key.Add(part.key);
    all.value.Add(part.value);
  }
  return std::max({all.query.error(), all.key.error(), all.value.error()});
}

std::vector<double> AttentionProblem::PooledScores(const HostRows& q, const HostRows& k,
                                                   int64_t head, int64_t block) const {
  const std::vector<double> query = q.Mean(head, block, shape_.block.q);
  std::vector<double> scores(static_cast<size_t>(t_k_));
  for (int64_t j = 0; j < t_k_; ++j) {
    const std::vector<double> key = k.Mean(head, j, shape_.block.k);
    scores[static_cast<size_t>(j)] =
        double{scale_} * std::inner_product(query.begin(), query.end(), key.begin(), 0.0);
  }
  return scores;
}

double AttentionProblem::SelectError(const HostLists& rows) const {
  const HostRows q(q_), k(k_);
  std::vector<uint8_t> wrong(kSelectSamples, 0);
  context_.pool().ParallelFor(kSelectSamples, 1, [&](int64_t n, int) {
    const Place place = Sampled(static_cast<uint64_t>(n));
    const int64_t block = place.token / shape_.block.q;
    const std::vector<double> scores = PooledScores(q, k, place.head, block);
    const std::span<const uint16_t> kept = rows.row(place.head * t_q_ + block);
    std::vector<double> order = scores;
    std::sort(order.begin(), order.end(), std::greater<>());
    std::vector<double> weights;
    for (const double s : order) weights.push_back(std::exp(s - order.front()));
    const SelectSetting setting = SettingOf(rule_, shape_.density);
    const auto count = static_cast<int64_t>(kept.size());
    bool right = false;
    for (const int64_t slack : {-1, 0, 1}) {
      right = right || count == Kept(rule_, setting, weights, slack);
    }
    for (size_t i = 1; i < kept.size(); ++i) right = right && kept[i - 1] < kept[i];
    if (right) {
      const double least = order[static_cast<size_t>(count - 1)];
      const double tie = kTie * (order.front() - order.back());
      for (const uint16_t j : kept) right = right && j < t_k_ && scores[j] >= least - tie;
    }
    wrong[static_cast<size_t>(n)] = right ? 0 : 1;
  });
  return std::reduce(wrong.begin(), wrong.end(), 0.0) / kSelectSamples;
}

double AttentionProblem::TransposeError() const {
  const HostLists columns = ToHost(selected_columns_);
  const HostLists expected = Transpose(ToHost(selected_), shape_.batch * shape_.heads, t_q_, t_k_);
  int64_t wrong = 0;
  for (int64_t j = 0; j < expected.rows(); ++j) {
    wrong += std::ranges::equal(columns.row(j), expected.row(j)) ? 0 : 1;
  }
  return static_cast<double>(wrong) / static_cast<double>(expected.rows());
}

double AttentionProblem::ErrorOfPooled(const DeviceArray& q, const DeviceArray& k) const {
  Relative relative;
  const auto add = [&](const DeviceArray& array, const DeviceArray& pooled, int size) {
    const HostRows rows(array), means(pooled);
    for (int64_t n = 0; n < kSamples; ++n) {
      const Place place = Sampled(static_cast<uint64_t>(n));
      const int64_t block = place.token / size;
      const std::vector<double> expected = rows.Mean(place.head, block, size);
      for (size_t d = 0; d < expected.size(); ++d) {
        relative.Add(means.at({place.head, block}, static_cast<int64_t>(d)), expected[d]);
      }
    }
  };
  add(q, q_pooled_, shape_.block.q);
  add(k, k_pooled_, shape_.block.k);
  return relative.error();
}

}  // namespace suffice::bench
