// SPDX-License-Identifier: Apache-2.0
#include "kernels/bench/attention_problem.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "lib/base/philox.h"

namespace suffice::bench {
namespace {

constexpr uint64_t kSeed = 1;
constexpr auto kStream = static_cast<uint32_t>(Stream::kTest);
constexpr uint64_t kSamples = 48;

DeviceArray Normal(Context& context, DType dtype, const Shape& shape, uint32_t which) {
  DeviceArray array(context, dtype, shape);
  std::vector<std::byte> values(array.view().bytes());
  constexpr int64_t kChunk = 1 << 16;
  const int64_t count = shape.elements();
  context.pool().ParallelFor((count + kChunk - 1) / kChunk, 1, [&](int64_t chunk, int) {
    for (int64_t i = chunk * kChunk; i < std::min(count, (chunk + 1) * kChunk); ++i) {
      const float x = NormalAt(kSeed, kStream + which, static_cast<uint64_t>(i));
      if (dtype == DType::kBF16) {
        reinterpret_cast<BFloat16*>(values.data())[i] = ToBFloat16(x);
      } else {
        reinterpret_cast<float*>(values.data())[i] = x;
      }
    }
  });
  array.Set(values.data());
  return array;
}

// Sums of squares of a difference and of what it is relative to.
struct Relative {
  double difference = 0.0;
  double norm = 0.0;
  void Add(double value, double expected) {
    difference += (value - expected) * (value - expected);
    norm += expected * expected;
  }
  double error() const { return std::sqrt(difference / norm); }
};

}  // namespace

DeviceArray::DeviceArray(Context& context, DType dtype, const Shape& shape)
    : context_(&context), view_(ContiguousView(nullptr, dtype, shape, context.device())) {
  view_.data = context.backend().alloc(context, view_.bytes());
}

DeviceArray::~DeviceArray() {
  if (context_ != nullptr) context_->backend().free(*context_, view_.data);
}

DeviceArray::DeviceArray(DeviceArray&& other) noexcept
    : context_(std::exchange(other.context_, nullptr)), view_(other.view_) {}

DeviceArray& DeviceArray::operator=(DeviceArray&& other) noexcept {
  std::swap(context_, other.context_);
  std::swap(view_, other.view_);
  return *this;
}

void DeviceArray::Set(const void* values) {
  context_->backend().copy(*context_, view_.data, view_.device.kind, values, DeviceKind::kHost,
                           view_.bytes());
}

void DeviceArray::Get(void* values) const {
  context_->backend().copy(*context_, values, DeviceKind::kHost, view_.data, view_.device.kind,
                           view_.bytes());
  context_->backend().synchronize(*context_);
}

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

 private:
  DType dtype_;
  int64_t tokens_, dim_;
  std::vector<std::byte> bytes_;
};

AttentionProblem::AttentionProblem(Context& context, DType dtype, const ProblemShape& shape)
    : context_(context),
      dtype_(dtype),
      shape_(shape),
      scale_(1.0f / std::sqrt(static_cast<float>(shape.dim))),
      t_q_(BlockCount(shape.n, shape.block.q)),
      t_k_(BlockCount(shape.n, shape.block.k)) {
  const Shape values = {shape.batch, shape.heads, shape.n, shape.dim};
  q_ = Normal(context, dtype, values, 0);
  k_ = Normal(context, dtype, values, 1);
  v_ = Normal(context, dtype, values, 2);
  d_o_ = Normal(context, dtype, values, 3);
  for (DeviceArray* array : {&o_, &dq_, &dk_, &dv_}) *array = DeviceArray(context, dtype, values);
  lse_ = DeviceArray(context, DType::kF32, {shape.batch, shape.heads, shape.n});
  q_pooled_ = DeviceArray(context, DType::kF32, {shape.batch, shape.heads, t_q_, shape.dim});
  k_pooled_ = DeviceArray(context, DType::kF32, {shape.batch, shape.heads, t_k_, shape.dim});
  const int64_t rows = shape.batch * shape.heads * t_q_;
  selected_ = {DeviceArray(context, DType::kI64, {rows + 1}),
               DeviceArray(context, DType::kU16, {rows * t_k_})};
  if (shape.density < 1.0) {
    MakeKeep();
    rows_ = MakeLists(context, false);
    columns_ = MakeLists(context, true);
  }
}

void AttentionProblem::MakeKeep() {
  const auto kept =
      std::clamp<int64_t>(std::llround(shape_.density * static_cast<double>(t_k_)), 1, t_k_);
  const int64_t rows = shape_.batch * shape_.heads * t_q_;
  keep_.assign(static_cast<size_t>(rows * t_k_), 0);
  std::vector<int64_t> blocks(static_cast<size_t>(t_k_));
  uint64_t draw = 0;
  double pairs = 0.0;
  for (int64_t row = 0; row < rows; ++row) {
    const int64_t queries =
        std::min<int64_t>(shape_.block.q, shape_.n - row % t_q_ * shape_.block.q);
    for (int64_t j = 0; j < t_k_; ++j) blocks[static_cast<size_t>(j)] = j;
    for (int64_t n = 0; n < kept; ++n) {
      const float u = UniformAt(kSeed, kStream + 4, draw++);
      const int64_t left = t_k_ - n;
      const int64_t other =
          n + std::min(left - 1, static_cast<int64_t>(u * static_cast<float>(left)));
      std::swap(blocks[static_cast<size_t>(n)], blocks[static_cast<size_t>(other)]);
      const int64_t j = blocks[static_cast<size_t>(n)];
      keep_[static_cast<size_t>(row * t_k_ + j)] = 1;
      const int64_t keys = std::min<int64_t>(shape_.block.k, shape_.n - j * shape_.block.k);
      pairs += static_cast<double>(queries * keys);
    }
  }
  const auto n = static_cast<double>(shape_.n);
  density_ = pairs / (static_cast<double>(shape_.batch * shape_.heads) * n * n);
}

AttentionProblem::Lists AttentionProblem::MakeLists(Context& context, bool columns) const {
  const int64_t outer = columns ? t_k_ : t_q_;
  const int64_t inner = columns ? t_q_ : t_k_;
  std::vector<int64_t> ptr = {0};
  std::vector<uint16_t> ids;
  for (int64_t row = 0; row < shape_.batch * shape_.heads * outer; ++row) {
    for (int64_t n = 0; n < inner; ++n) {
      const int64_t i = columns ? n : row % outer;
      const int64_t j = columns ? row % outer : n;
      if (Keeps(row / outer, i, j)) ids.push_back(static_cast<uint16_t>(n));
    }
    ptr.push_back(static_cast<int64_t>(ids.size()));
  }
  Lists lists = {DeviceArray(context, DType::kI64, {static_cast<int64_t>(ptr.size())}),
                 DeviceArray(context, DType::kU16, {static_cast<int64_t>(ids.size())})};
  lists.ptr.Set(ptr.data());
  lists.ids.Set(ids.data());
  return lists;
}

bool AttentionProblem::Keeps(int64_t head, int64_t query_block, int64_t key_block) const {
  return keep_.empty() ||
         keep_[static_cast<size_t>((head * t_q_ + query_block) * t_k_ + key_block)] != 0;
}

AttendParams AttentionProblem::Forward() const {
  AttendParams p;
  p.q = q_.view();
  p.k = k_.view();
  p.v = v_.view();
  p.o = o_.view();
  p.lse = lse_.view();
  if (!keep_.empty()) p.rows = rows_.view();
  p.scale = scale_;
  p.block = shape_.block;
  return p;
}

AttendBackwardParams AttentionProblem::Backward() const {
  AttendBackwardParams p;
  p.q = q_.view();
  p.k = k_.view();
  p.v = v_.view();
  p.o = o_.view();
  p.lse = lse_.view();
  p.d_o = d_o_.view();
  p.dq = dq_.view();
  p.dk = dk_.view();
  p.dv = dv_.view();
  if (!keep_.empty()) {
    p.rows = rows_.view();
    p.columns = columns_.view();
  }
  p.scale = scale_;
  p.block = shape_.block;
  return p;
}

PoolParams AttentionProblem::PoolQ() const { return {q_.view(), q_pooled_.view(), shape_.block.q}; }
PoolParams AttentionProblem::PoolK() const { return {k_.view(), k_pooled_.view(), shape_.block.k}; }

SelectParams AttentionProblem::Select() const {
  SelectParams p;
  p.q_pooled = q_pooled_.view();
  p.k_pooled = k_pooled_.view();
  p.scale = scale_;
  p.n_q = shape_.n;
  p.n_k = shape_.n;
  p.block = shape_.block;
  p.rule = SelectRule::kTopK;
  p.setting.k_ppm = static_cast<int32_t>(std::lround(shape_.density * 1e6));
  p.rows = selected_.view();
  return p;
}

double AttentionProblem::ForwardFlops() const {
  const auto n = static_cast<double>(shape_.n);
  return 4.0 * static_cast<double>(shape_.dim * shape_.batch * shape_.heads) * n * n * density_;
}

AttentionProblem::Place AttentionProblem::Sampled(uint64_t n) const {
  const auto draw = [&](uint64_t index, int64_t count) {
    return static_cast<int64_t>(Philox(kSeed, kStream + 5, index)[0] %
                                static_cast<uint32_t>(count));
  };
  // The last token of all is among them: it lies in the partial block, if there is one.
  if (n == 0) return {shape_.batch * shape_.heads - 1, shape_.n - 1};
  return {draw(2 * n, shape_.batch * shape_.heads), draw(2 * n + 1, shape_.n)};
}

double AttentionProblem::ForwardError() const {
  const HostRows q(q_), k(k_), v(v_), o(o_);
  Relative relative;
  std::vector<double> expected(static_cast<size_t>(shape_.dim));
  for (uint64_t n = 0; n < kSamples; ++n) {
    const Place row = Sampled(n);
    std::fill(expected.begin(), expected.end(), 0.0);
    double total = 0.0;
    for (int64_t t = 0; t < shape_.n; ++t) {
      if (!Keeps(row.head, row.token / shape_.block.q, t / shape_.block.k)) continue;
      const Place key = {row.head, t};
      const double p = std::exp(double{scale_} * q.Dot(row, k, key));  // normal inputs: no overflow
      total += p;
      for (int64_t d = 0; d < shape_.dim; ++d) expected[static_cast<size_t>(d)] += p * v.at(key, d);
    }
    for (int64_t d = 0; d < shape_.dim; ++d) {
      relative.Add(o.at(row, d), expected[static_cast<size_t>(d)] / total);
    }
  }
  return relative.error();
}

double AttentionProblem::BackwardError() const {
  const HostRows q(q_), k(k_), v(v_), o(o_), d_o(d_o_), dq(dq_), dk(dk_), dv(dv_);
  std::vector<float> lse(static_cast<size_t>(lse_.view().shape.elements()));
  lse_.Get(lse.data());
  struct Pair {
    double p, ds;
  };
  const auto pair = [&](Place query, Place key) -> Pair {
    const float l = lse[static_cast<size_t>(query.head * shape_.n + query.token)];
    const double p = std::exp(double{scale_} * q.Dot(query, k, key) - double{l});
    const double delta = d_o.Dot(query, o, query);
    return {p, p * (d_o.Dot(query, v, key) - delta)};
  };
  Relative query_error, key_error, value_error;
  std::vector<double> a(static_cast<size_t>(shape_.dim)), b(a.size());
  for (uint64_t n = 0; n < kSamples / 4; ++n) {
    const Place place = Sampled(n);
    std::fill(a.begin(), a.end(), 0.0);
    for (int64_t t = 0; t < shape_.n; ++t) {
      if (!Keeps(place.head, place.token / shape_.block.q, t / shape_.block.k)) continue;
      const Place key = {place.head, t};
      const Pair x = pair(place, key);
      for (size_t d = 0; d < a.size(); ++d) {
        a[d] += double{scale_} * x.ds * k.at(key, static_cast<int64_t>(d));
      }
    }
    for (size_t d = 0; d < a.size(); ++d)
      query_error.Add(dq.at(place, static_cast<int64_t>(d)), a[d]);

    std::fill(a.begin(), a.end(), 0.0);
    std::fill(b.begin(), b.end(), 0.0);
    for (int64_t t = 0; t < shape_.n; ++t) {
      if (!Keeps(place.head, t / shape_.block.q, place.token / shape_.block.k)) continue;
      const Place query = {place.head, t};
      const Pair x = pair(query, place);
      for (size_t d = 0; d < a.size(); ++d) {
        a[d] += double{scale_} * x.ds * q.at(query, static_cast<int64_t>(d));
        b[d] += x.p * d_o.at(query, static_cast<int64_t>(d));
      }
    }
    for (size_t d = 0; d < a.size(); ++d) {
      key_error.Add(dk.at(place, static_cast<int64_t>(d)), a[d]);
      value_error.Add(dv.at(place, static_cast<int64_t>(d)), b[d]);
    }
  }
  return std::max({query_error.error(), key_error.error(), value_error.error()});
}

}  // namespace suffice::bench
