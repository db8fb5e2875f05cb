// SPDX-License-Identifier: Apache-2.0
// Synthetic attention rows of two kinds, and what a selection rule keeps of them: the material of
// Table 1 of SpargeAttention2 (arXiv 2602.13515, section 3.2), whose captures are not public.
//
// A head has one kind. With b(t) the block of token t, e a unit vector and every other Greek or
// Latin letter a vector of independent standard normal deviates:
//   near-uniform  q_t = s (nu_b(t) + phi_t / 2), s uniform in [0.2, 0.5]
//   skewed        q_t = nu_b(t) + phi_t / 2 + sqrt(c) D^(1/4) e, c uniform in [4, 7]
//   both          k_t = mu_b(t) + psi_t / 2, v_t = m + u_b(t) + w_t / 2
//   skewed        and, in two key blocks of the head, the sinks: k_t += sqrt(c) D^(1/4) e,
//                 v_t *= 0.2 (sinks have values of small norm)
// so that a pooled logit has standard deviation about s or 1, and a sink's is larger by c.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "lib/sparsify/attention_run.h"

namespace suffice::table1 {

inline constexpr int64_t kTokens = 2048, kDim = 64, kHeads = 4;
inline constexpr BlockSize kBlock{.q = 128, .k = 64};
inline constexpr int64_t kQueryBlocks = kTokens / kBlock.q, kKeyBlocks = kTokens / kBlock.k;

enum class Kind : uint8_t { kNearUniform, kSkewed };
using HeadKinds = std::array<Kind, kHeads>;

// One draw: q, k, v (1, kHeads, kTokens, kDim) fp32 and the pooled scores of its block rows.
struct Draw {
  Tensor q, k, v;
  std::vector<float> scores;  // (kHeads, kQueryBlocks, kKeyBlocks)
  sparsify::AttentionInputs inputs() const { return {q, k, v, kBlock, {}, 0}; }
};
// A pure function of (seed, index, kinds).
Draw MakeDraw(Context& context, uint64_t seed, int64_t index, const HeadKinds& kinds);

struct Kept {
  std::vector<double> mass;     // of each block row: its kept share of the selection weights
  std::vector<int64_t> blocks;  // of each block row
  std::vector<uint8_t> keep;    // (kHeads, kQueryBlocks, kKeyBlocks)
};
Kept KeptBlocks(const Draw& draw, SelectRule rule, SelectSetting setting);
double MeanDensity(const std::vector<Draw>& draws, SelectRule rule, SelectSetting setting);

// The p (in ppm) with which `rule` keeps `density` on average over all draws, as nearly as p can
// say it; k stays. Density never falls as p grows, so bisection finds it.
int32_t PpmForDensity(const std::vector<Draw>& draws, SelectRule rule, int32_t k_ppm,
                      double density);

// Throws CheckFailedError unless in every block row the hybrid rule keeps at least the selection
// mass that top-k keeps at the same k and top-p at the same p. It keeps the longer of the two
// prefixes of one order, so this holds for any scores.
void CheckHybridKeepsMost(const Draw& draw, SelectSetting hybrid);

}  // namespace suffice::table1
