// SPDX-License-Identifier: Apache-2.0
#include "examples/tables/spargeattention2/rows.h"

#include <algorithm>
#include <cmath>

#include "kernels/select_rule.h"
#include "lib/base/error.h"
#include "lib/base/philox.h"

namespace suffice::table1 {
namespace {

constexpr size_t kRows = kHeads * kQueryBlocks;

// Deviates of one use, head and draw, by position.
class Deviates {
 public:
  Deviates(uint64_t seed, int64_t draw, int64_t head, uint64_t use)
      : seed_(seed),
        base_(((static_cast<uint64_t>(draw) * kHeads + static_cast<uint64_t>(head)) << 28) +
              (use << 24)) {}
  float Normal(int64_t row, int64_t d) const { return NormalAt(seed_, kStream, At(row, d)); }
  float Uniform(int64_t row) const { return UniformAt(seed_, kStream, At(row, 0)); }

 private:
  static constexpr auto kStream = static_cast<uint32_t>(Stream::kData);
  uint64_t At(int64_t row, int64_t d) const {
    return base_ + static_cast<uint64_t>(row * kDim + d);
  }
  uint64_t seed_, base_;
};

struct HostDraw {
  HostArray q{DType::kF32, {1, kHeads, kTokens, kDim}};
  HostArray k{DType::kF32, {1, kHeads, kTokens, kDim}};
  HostArray v{DType::kF32, {1, kHeads, kTokens, kDim}};
};

void FillHead(HostDraw& draw, uint64_t seed, int64_t index, int64_t head, Kind kind) {
  const auto use = [&](uint64_t n) { return Deviates(seed, index, head, n); };
  const Deviates nu = use(0), phi = use(1), mu = use(2), psi = use(3), m = use(4), u = use(5),
                 w = use(6), direction = use(7), choice = use(8);
  const bool skewed = kind == Kind::kSkewed;
  const float s = skewed ? 1.0f : 0.2f + 0.3f * choice.Uniform(0);
  const float c = skewed ? 4.0f + 3.0f * choice.Uniform(0) : 0.0f;
  const float shift = std::sqrt(c) * std::pow(static_cast<float>(kDim), 0.25f);
  const auto first = static_cast<int64_t>(choice.Uniform(1) * kKeyBlocks);
  const int64_t second =
      (first + 1 + static_cast<int64_t>(choice.Uniform(2) * (kKeyBlocks - 1))) % kKeyBlocks;
  float norm = 0;
  for (int64_t d = 0; d < kDim; ++d) norm += direction.Normal(0, d) * direction.Normal(0, d);
  norm = std::sqrt(norm);

  auto* q = draw.q.values<float>().data() + head * kTokens * kDim;
  auto* k = draw.k.values<float>().data() + head * kTokens * kDim;
  auto* v = draw.v.values<float>().data() + head * kTokens * kDim;
  for (int64_t t = 0; t < kTokens; ++t) {
    const int64_t i = t / kBlock.q, j = t / kBlock.k;
    const bool sink = skewed && (j == first || j == second);
    for (int64_t d = 0; d < kDim; ++d, ++q, ++k, ++v) {
      const float pull = shift * direction.Normal(0, d) / norm;
      *q = s * (nu.Normal(i, d) + 0.5f * phi.Normal(t, d)) + pull;
      *k = mu.Normal(j, d) + 0.5f * psi.Normal(t, d) + (sink ? pull : 0.0f);
      *v = (sink ? 0.2f : 1.0f) * (m.Normal(0, d) + u.Normal(j, d) + 0.5f * w.Normal(t, d));
    }
  }
}

std::vector<float> PooledScores(Context& context, const Draw& draw) {
  const Tensor q(context, DType::kF32, {1, kHeads, kQueryBlocks, kDim});
  const Tensor k(context, DType::kF32, {1, kHeads, kKeyBlocks, kDim});
  const Tensor scores(context, DType::kF32, {1, kHeads, kQueryBlocks, kKeyBlocks});
  const ListStorage lists(context, kRows, 0, kRows * kKeyBlocks, false);
  context.Run(PoolParams{draw.q, q, kBlock.q});
  context.Run(PoolParams{draw.k, k, kBlock.k});
  SelectParams select;
  select.q_pooled = q;
  select.k_pooled = k;
  select.scores = scores;
  select.scale = 1.0f / std::sqrt(static_cast<float>(kDim));
  select.n_q = select.n_k = kTokens;
  select.block = kBlock;
  select.rule = SelectRule::kAll;
  select.rows = lists.rows();
  context.Run(select);
  const HostArray host = scores.ToHost();
  return {host.values<float>().begin(), host.values<float>().end()};
}

}  // namespace

Draw MakeDraw(Context& context, uint64_t seed, int64_t index, const HeadKinds& kinds) {
  HostDraw host;
  context.pool().ParallelFor(kHeads, 1, [&](int64_t head, int) {
    FillHead(host, seed, index, head, kinds[static_cast<size_t>(head)]);
  });
  Draw draw{Tensor::FromHost(context, host.q),
            Tensor::FromHost(context, host.k),
            Tensor::FromHost(context, host.v),
            {}};
  draw.scores = PooledScores(context, draw);
  return draw;
}

Kept KeptBlocks(const Draw& draw, SelectRule rule, SelectSetting setting) {
  Kept kept{{}, {}, std::vector<uint8_t>(draw.scores.size())};
  std::vector<int32_t> order(kKeyBlocks);
  RowRule row_rule;
  row_rule.rule = rule;
  row_rule.setting = setting;
  for (size_t r = 0; r < kRows; ++r) {
    const std::span scores = std::span(draw.scores).subspan(r * kKeyBlocks, kKeyBlocks);
    const std::span keep = std::span(kept.keep).subspan(r * kKeyBlocks, kKeyBlocks);
    kept.blocks.push_back(SelectRow(scores, row_rule, order, keep));
    const float max = *std::max_element(scores.begin(), scores.end());
    uint64_t all = 0, held = 0;
    for (size_t j = 0; j < scores.size(); ++j) {
      const uint64_t weight = SelectionWeight(scores[j], max);
      all += weight;
      if (keep[j] != 0) held += weight;
    }
    kept.mass.push_back(static_cast<double>(held) / static_cast<double>(all));
  }
  return kept;
}

double MeanDensity(const std::vector<Draw>& draws, SelectRule rule, SelectSetting setting) {
  int64_t blocks = 0;
  for (const Draw& draw : draws) {
    for (const int64_t n : KeptBlocks(draw, rule, setting).blocks) blocks += n;
  }
  return static_cast<double>(blocks) /
         static_cast<double>(draws.size() * kRows * static_cast<size_t>(kKeyBlocks));
}

int32_t PpmForDensity(const std::vector<Draw>& draws, SelectRule rule, int32_t k_ppm,
                      double density) {
  int32_t low = 1, high = kPartsPerMillion;  // density at low <= wanted <= density at high
  while (high - low > 1) {
    const int32_t middle = low + (high - low) / 2;
    (MeanDensity(draws, rule, {k_ppm, middle}) <= density ? low : high) = middle;
  }
  const double below = MeanDensity(draws, rule, {k_ppm, low});
  const double above = MeanDensity(draws, rule, {k_ppm, high});
  return density - below <= above - density ? low : high;
}

void CheckHybridKeepsMost(const Draw& draw, SelectSetting hybrid) {
  const Kept both = KeptBlocks(draw, SelectRule::kHybrid, hybrid);
  const Kept top_k = KeptBlocks(draw, SelectRule::kTopK, hybrid);
  const Kept top_p = KeptBlocks(draw, SelectRule::kTopP, hybrid);
  for (size_t r = 0; r < kRows; ++r) {
    const double least = std::max(top_k.mass[r], top_p.mass[r]);
    if (!(both.mass[r] >= least)) {
      throw CheckFailedError("block row {}: hybrid keeps mass {}, at least {} wanted", r,
                             both.mass[r], least);
    }
  }
}

}  // namespace suffice::table1
