// SPDX-License-Identifier: Apache-2.0
#include "kernels/bench/bench_cases.h"

#include <cmath>

namespace suffice::bench {
namespace {

struct OperationFacts {
  const char* name;
  double flops;  // per FLOP of a forward pass
  bool reads_q_and_k;
};

const OperationFacts& FactsOf(AttentionOperation operation) {
  static constexpr OperationFacts kFacts[] = {
      {"attend", 1.0, false}, {"attend_backward", 2.5, false}, {"select", 0.0, true},
      {"pool", 0.0, true},    {"score_select", 0.0, false},    {"transpose", 0.0, false},
      {"layer", 1.0, false},  {"pool_fused", 0.0, false},      {"select_fused", 0.0, false}};
  return kFacts[static_cast<size_t>(operation)];
}

}  // namespace

const char* NameOf(AttentionOperation operation) { return FactsOf(operation).name; }
bool CountsFlops(AttentionOperation operation) { return FactsOf(operation).flops > 0.0; }
double FlopsPerForward(AttentionOperation operation) { return FactsOf(operation).flops; }
bool ReadsQAndK(AttentionOperation operation) { return FactsOf(operation).reads_q_and_k; }

const char* NameOf(ListSpread spread) {
  static constexpr const char* kNames[] = {"equal", "log-normal", "given"};
  return kNames[static_cast<size_t>(spread)];
}

const char* NameOf(SelectRule rule) {
  static constexpr const char* kNames[] = {"hybrid", "topk", "topp", "mask", "all"};
  return kNames[static_cast<size_t>(rule)];
}

std::string ShapeText(const ProblemShape& s) {
  return fmt::format("{}x{}x{}x{}", s.batch, s.heads, s.n, s.dim);
}

std::string NameOf(const AttentionBenchCase& c) {
  std::string name = fmt::format("{}/{}/{}/{}", NameOf(c.operation), suffice::NameOf(c.dtype),
                                 ShapeText(c.shape), c.shape.density);
  if (c.shape.block != BlockSize{}) name += fmt::format("/{}x{}", c.shape.block.q, c.shape.block.k);
  if (c.shape.spread != ListSpread::kEqual) name += fmt::format("/{}", NameOf(c.shape.spread));
  if (c.rule != SelectRule::kTopK) name += fmt::format("/{}", NameOf(c.rule));
  return name;
}

double PlannedFlops(const AttentionBenchCase& c) {
  const auto n = static_cast<double>(c.shape.n);
  return FlopsPerForward(c.operation) * 4.0 *
         static_cast<double>(c.shape.batch * c.shape.heads * c.shape.dim) * n * n * c.shape.density;
}

std::vector<AttentionBenchCase> HostAttentionCases() {
  using enum AttentionOperation;
  const auto shape = [](int64_t heads, int64_t n, int64_t dim, double density) {
    return ProblemShape{.heads = heads, .n = n, .dim = dim, .block = {}, .density = density};
  };
  std::vector<AttentionBenchCase> cases;
  for (const DType dtype : {DType::kBF16, DType::kF32}) {
    for (const AttentionOperation operation : {kAttend, kAttendBackward}) {
      for (const double density : {1.0, 0.1, 0.05}) {
        cases.push_back({operation, dtype, shape(4, 16384, 128, density)});
      }
    }
    cases.push_back({kAttend, dtype, shape(8, 4096, 64, 1.0)});
    cases.push_back({kAttend, dtype, shape(8, 4096, 64, 0.05)});
  }
  cases.push_back({kAttend, DType::kBF16, shape(12, 32760, 128, 0.05)});
  cases.push_back({kSelect, DType::kBF16, shape(12, 32760, 128, 0.05)});
  return cases;
}

std::vector<AttentionBenchCase> DeviceAttentionCases() {
  using enum AttentionOperation;
  const ProblemShape k480p = {.heads = 12, .n = 32760, .dim = 128, .block = {}};
  const ProblemShape k720p = {.heads = 40, .n = 75600, .dim = 128, .block = {}};
  const ProblemShape kShort = {.batch = 4, .heads = 16, .n = 16384, .dim = 64, .block = {}};
  std::vector<AttentionBenchCase> cases;
  const auto add = [&](AttentionOperation operation, ProblemShape shape, double density) {
    shape.density = density;
    cases.push_back({operation, DType::kBF16, shape});
  };
  for (const AttentionOperation operation : {kAttend, kAttendBackward}) {
    add(operation, k480p, 1.0);
    add(operation, kShort, 1.0);
    add(operation, k480p, 0.1);
    add(operation, k480p, 0.05);
    ProblemShape other = k480p;
    for (const BlockSize block : {BlockSize{64, 64}, BlockSize{128, 128}}) {
      other.block = block;
      add(operation, other, 0.05);
    }
    other.block = {};
    other.spread = ListSpread::kLogNormal;
    add(operation, other, 0.05);
  }
  add(kAttend, k720p, 1.0);
  add(kAttend, k720p, 0.05);
  for (ProblemShape shape : {k480p, k720p}) {
    shape.density = 0.05;
    for (const AttentionOperation operation :
         {kSelect, kPool, kScoreSelect, kTranspose, kPoolFused, kSelectFused, kLayer}) {
      cases.push_back({operation, DType::kBF16, shape, SelectRule::kHybrid});
    }
  }
  return cases;
}

std::vector<AttentionBenchCase> CasesOfMask(ProblemShape shape, HostLists lists) {
  using enum AttentionOperation;
  const auto n = static_cast<double>(shape.n);
  const double density = ListedPairs(lists, shape.n, shape.block) /
                         (static_cast<double>(shape.batch * shape.heads) * n * n);
  ProblemShape given = shape;
  // For the name; a mask that keeps all blocks is still run by its lists.
  given.density = std::min(std::round(density * 1e4) / 1e4, 0.9999);
  given.spread = ListSpread::kGiven;
  given.given = std::make_shared<const HostLists>(std::move(lists));
  shape.density = 1.0;
  return {{kAttend, DType::kBF16, shape},
          {kAttend, DType::kBF16, given},
          {kAttendBackward, DType::kBF16, shape},
          {kAttendBackward, DType::kBF16, given}};
}

}  // namespace suffice::bench
