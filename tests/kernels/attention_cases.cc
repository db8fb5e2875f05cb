// SPDX-License-Identifier: Apache-2.0
#include "tests/kernels/attention_cases.h"

#include <cmath>
#include <limits>

#include "lib/base/philox.h"

namespace suffice::testing {
namespace {

using enum CaseLists;

constexpr AttentionCase kCases[] = {
    {.name = "square",
     .batch = 1,
     .heads = 2,
     .kv_heads = 2,
     .n_q = 256,
     .n_k = 256,
     .dim = 128,
     .block = {128, 64},
     .lists = kRandom},
    {.name = "dense",
     .batch = 1,
     .heads = 1,
     .kv_heads = 1,
     .n_q = 200,
     .n_k = 333,
     .dim = 64,
     .block = {128, 64},
     .lists = kNone},
    {.name = "all blocks",
     .batch = 1,
     .heads = 1,
     .kv_heads = 1,
     .n_q = 200,
     .n_k = 333,
     .dim = 64,
     .block = {128, 64},
     .lists = kAll},
    {.name = "one block a row",
     .batch = 2,
     .heads = 2,
     .kv_heads = 2,
     .n_q = 300,
     .n_k = 300,
     .dim = 64,
     .block = {64, 64},
     .lists = kOne},
    {.name = "empty rows",
     .batch = 2,
     .heads = 3,
     .kv_heads = 3,
     .n_q = 513,
     .n_k = 449,
     .dim = 40,
     .block = {64, 64},
     .lists = kHoles},
    {.name = "one token",
     .batch = 1,
     .heads = 1,
     .kv_heads = 1,
     .n_q = 1,
     .n_k = 1,
     .dim = 8,
     .block = {128, 64},
     .lists = kAll},
    {.name = "one query",
     .batch = 1,
     .heads = 2,
     .kv_heads = 1,
     .n_q = 1,
     .n_k = 259,
     .dim = 72,
     .block = {128, 64},
     .lists = kRandom},
    {.name = "one key",
     .batch = 1,
     .heads = 1,
     .kv_heads = 1,
     .n_q = 130,
     .n_k = 1,
     .dim = 64,
     .block = {64, 64},
     .lists = kAll},
    {.name = "tail of one key",
     .batch = 1,
     .heads = 2,
     .kv_heads = 2,
     .n_q = 129,
     .n_k = 193,
     .dim = 128,
     .block = {128, 64},
     .lists = kHoles},
    {.name = "odd tails, 128 x 128",
     .batch = 1,
     .heads = 2,
     .kv_heads = 2,
     .n_q = 391,
     .n_k = 517,
     .dim = 72,
     .block = {128, 128},
     .lists = kHoles},
    {.name = "grouped heads",
     .batch = 2,
     .heads = 6,
     .kv_heads = 2,
     .n_q = 257,
     .n_k = 320,
     .dim = 64,
     .block = {128, 64},
     .lists = kHoles},
    {.name = "one key head",
     .batch = 1,
     .heads = 4,
     .kv_heads = 1,
     .n_q = 192,
     .n_k = 192,
     .dim = 40,
     .block = {64, 64},
     .lists = kRandom},
    {.name = "dim 8",
     .batch = 1,
     .heads = 2,
     .kv_heads = 2,
     .n_q = 150,
     .n_k = 150,
     .dim = 8,
     .block = {64, 64},
     .lists = kRandom},
    {.name = "dim 5",
     .batch = 1,
     .heads = 1,
     .kv_heads = 1,
     .n_q = 140,
     .n_k = 150,
     .dim = 5,
     .block = {64, 64},
     .lists = kRandom},
    {.name = "dim 256",
     .batch = 1,
     .heads = 1,
     .kv_heads = 1,
     .n_q = 190,
     .n_k = 260,
     .dim = 256,
     .block = {128, 64},
     .lists = kRandom},
    {.name = "causal, dense",
     .batch = 1,
     .heads = 2,
     .kv_heads = 1,
     .n_q = 300,
     .n_k = 300,
     .dim = 64,
     .block = {128, 64},
     .lists = kNone,
     .causal = true},
    {.name = "causal, lists",
     .batch = 1,
     .heads = 2,
     .kv_heads = 2,
     .n_q = 385,
     .n_k = 385,
     .dim = 128,
     .block = {64, 64},
     .lists = kHoles,
     .causal = true},
    {.name = "causal, more keys",
     .batch = 1,
     .heads = 1,
     .kv_heads = 1,
     .n_q = 131,
     .n_k = 400,
     .dim = 40,
     .block = {128, 128},
     .lists = kAll,
     .causal = true},
    {.name = "causal, fewer keys",
     .batch = 1,
     .heads = 2,
     .kv_heads = 2,
     .n_q = 400,
     .n_k = 131,
     .dim = 64,
     .block = {128, 64},
     .lists = kAll,
     .causal = true},
    {.name = "causal, fewer keys, dense",
     .batch = 1,
     .heads = 1,
     .kv_heads = 1,
     .n_q = 300,
     .n_k = 170,
     .dim = 64,
     .block = {64, 64},
     .lists = kNone,
     .causal = true},
    {.name = "strided",
     .batch = 2,
     .heads = 4,
     .kv_heads = 2,
     .n_q = 200,
     .n_k = 270,
     .dim = 64,
     .block = {128, 64},
     .lists = kHoles,
     .strided = true},
    {.name = "strided, odd dim",
     .batch = 1,
     .heads = 2,
     .kv_heads = 2,
     .n_q = 100,
     .n_k = 90,
     .dim = 33,
     .block = {64, 64},
     .lists = kRandom,
     .strided = true},
    {.name = "small blocks",
     .batch = 1,
     .heads = 2,
     .kv_heads = 2,
     .n_q = 100,
     .n_k = 90,
     .dim = 32,
     .block = {16, 16},
     .lists = kHoles},
    {.name = "ties",
     .batch = 1,
     .heads = 1,
     .kv_heads = 1,
     .n_q = 200,
     .n_k = 200,
     .dim = 64,
     .block = {64, 64},
     .lists = kRandom,
     .ties = true},
    {.name = "outliers",
     .batch = 1,
     .heads = 2,
     .kv_heads = 2,
     .n_q = 256,
     .n_k = 320,
     .dim = 128,
     .block = {128, 64},
     .lists = kRandom,
     .outliers = true},
    {.name = "scale 4",
     .batch = 1,
     .heads = 2,
     .kv_heads = 2,
     .n_q = 256,
     .n_k = 320,
     .dim = 128,
     .block = {128, 64},
     .lists = kRandom,
     .magnitude = 4.0f},
    {.name = "scale 16",
     .batch = 1,
     .heads = 2,
     .kv_heads = 2,
     .n_q = 256,
     .n_k = 320,
     .dim = 64,
     .block = {128, 64},
     .lists = kAll,
     .magnitude = 16.0f},
};

constexpr uint64_t kSeed = 20;
constexpr auto kStream = static_cast<uint32_t>(Stream::kTest);

CaseMask MakeMask(const AttentionCase& c) {
  CaseMask mask;
  mask.rows = c.batch * c.heads;
  mask.t_q = BlockCount(c.n_q, c.block.q);
  mask.t_k = BlockCount(c.n_k, c.block.k);
  mask.keep.assign(static_cast<size_t>(mask.rows * mask.t_q * mask.t_k), 0);
  const AttentionMask causal{c.causal};
  size_t at = 0;
  for (int64_t row = 0; row < mask.rows * mask.t_q; ++row) {
    const int64_t i = row % mask.t_q;
    const int64_t allowed = causal.AllowedBlocks(i, c.n_q, c.n_k, c.block);
    const auto chosen = static_cast<int64_t>(UniformAt(kSeed, 90, static_cast<uint64_t>(row)) *
                                             static_cast<float>(allowed));
    for (int64_t j = 0; j < mask.t_k; ++j, ++at) {
      bool keep = UniformAt(kSeed, 91, at) < 0.35f || j == chosen;
      if (c.lists == kNone || c.lists == kAll) keep = true;
      if (c.lists == kOne) keep = j == chosen;
      if (c.lists == kSinks) keep = row % mask.t_q == 0 || j == 0;
      if (c.lists == kHoles) keep = keep && row % 3 != 1 && j % 4 != 2;
      mask.keep[at] = keep && j < allowed;
    }
  }
  return mask;
}

std::vector<float> Values(const AttentionCase& c, int64_t heads, int64_t tokens, uint32_t which,
                          float magnitude, DType dtype) {
  std::vector<float> values(static_cast<size_t>(c.batch * heads * tokens * c.dim));
  for (size_t i = 0; i < values.size(); ++i) {
    float x = magnitude * NormalAt(kSeed, kStream + which, i);
    if (c.outliers && UniformAt(kSeed, 200 + which, i) < 1e-3f) x *= 10.0f;
    values[i] = dtype == DType::kBF16 ? ToFloat(ToBFloat16(x)) : x;
  }
  return values;
}

// NaN in the key blocks that no query of the key head's group keeps.
void PoisonUnselected(const AttentionCase& c, const CaseMask& mask, std::vector<float>& x) {
  const int64_t group = c.heads / c.kv_heads;
  for (int64_t head = 0; head < c.batch * c.kv_heads; ++head) {
    for (int64_t key = 0; key < c.n_k; ++key) {
      bool kept = false;
      for (int64_t h = head * group; h < (head + 1) * group; ++h) {
        for (int64_t i = 0; i < mask.t_q; ++i) kept = kept || mask.kept(h, i, key / c.block.k);
      }
      if (kept) continue;
      const auto row = x.begin() + (head * c.n_k + key) * c.dim;
      std::fill(row, row + c.dim, std::numeric_limits<float>::quiet_NaN());
    }
  }
}

}  // namespace

std::span<const AttentionCase> AttentionCases() { return kCases; }

std::vector<Target> AvailableTargets() {
  std::vector<Target> targets;
  for (const Backend* backend : Backends()) {
    const std::string name = backend->name;
    if (name == "ref" || name == "fake" || backend->unavailable(0)) continue;
    if (name == "cuda") {
      targets.push_back({name, "sm_80"});
      if (Context({.backend = name}).Describe() == "cuda sm_90a")
        targets.push_back({name, "sm_90a"});
      continue;
    }
    if (name != "cpu") {
      targets.push_back({name});
      continue;
    }
    for (const CpuIsa isa :
         {CpuIsa::kPortable, CpuIsa::kAvx2, CpuIsa::kAvx512, CpuIsa::kAvx512Bf16}) {
      if (isa <= BestCpuIsa()) targets.push_back({name, NameOf(isa)});
    }
  }
  return targets;
}

std::string NameOf(const Target& target) {
  return target.isa == "auto" ? target.backend : target.backend + "_" + target.isa;
}

AttentionProblem MakeProblem(const AttentionCase& c, DType dtype) {
  AttentionProblem problem{
      c, dtype, 1.0f / std::sqrt(static_cast<float>(c.dim)), MakeMask(c), {}, {}, {}, {}};
  problem.q = Values(c, c.heads, c.n_q, 0, c.magnitude, dtype);
  problem.k = Values(c, c.kv_heads, c.n_k, 1, c.magnitude, dtype);
  problem.v = Values(c, c.kv_heads, c.n_k, 2, 1.0f, dtype);
  problem.d_o = Values(c, c.heads, c.n_q, 3, 1.0f, dtype);
  if (c.ties) {
    for (size_t i = 0; i < problem.k.size(); ++i) {
      problem.k[i] = problem.k[i % static_cast<size_t>(2 * c.dim)];
    }
  }
  PoisonUnselected(c, problem.mask, problem.k);
  PoisonUnselected(c, problem.mask, problem.v);
  return problem;
}

double RelativeL2(std::span<const float> a, std::span<const float> b, double floor) {
  SUFFICE_CHECK(a.size() == b.size());
  double difference = 0.0;
  double norm = 0.0;
  for (size_t i = 0; i < a.size(); ++i) {
    if (!std::isfinite(a[i]) || !std::isfinite(b[i])) {
      if (a[i] != b[i]) return std::numeric_limits<double>::infinity();
      continue;
    }
    difference += (double{a[i]} - b[i]) * (double{a[i]} - b[i]);
    norm += double{b[i]} * b[i];
  }
  if (difference == 0.0) return 0.0;
  return std::sqrt(difference) / std::max(std::sqrt(norm), floor);
}

double GradientFloor(const AttentionProblem& problem) {
  double sum = 0.0;
  for (const float x : problem.d_o) sum += double{x} * x;
  return double{problem.scale} * std::sqrt(sum);
}

}  // namespace suffice::testing
