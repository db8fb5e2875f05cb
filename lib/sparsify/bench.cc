// SPDX-License-Identifier: Apache-2.0
#include <span>

#include "kernels/bench/attention_bench.h"
#include "lib/base/error.h"
#include "lib/base/version.h"
#include "lib/io/tensor_file.h"
#include "lib/sparsify/bench_table.h"
#include "lib/sparsify/verbs.h"

namespace suffice::sparsify {
namespace {

using Json = nlohmann::ordered_json;
using bench::AttentionBenchCase;
using bench::AttentionBenchResult;

std::vector<AttentionBenchCase> CasesWith(const std::string& part,
                                          const std::vector<AttentionBenchCase>& all) {
  std::vector<AttentionBenchCase> cases;
  std::string names;
  for (const AttentionBenchCase& c : all) {
    const std::string name = NameOf(c);
    names += "\n  " + name;
    if (name.find(part) != std::string::npos) cases.push_back(c);
  }
  if (cases.empty()) throw UsageError("cases: '{}' is in no name of a case:{}", part, names);
  return cases;
}

// Attention over the blocks of a mask file: what a model kept, its lengths and its places.
std::vector<AttentionBenchCase> CasesOfFile(const std::string& path, int64_t dim) {
  const TensorReader file(path, EncodingType::kMask);
  const auto list = [&](const char* name) {
    return file.IntListAttribute("/mask", name).value_or(std::vector<int64_t>{});
  };
  const std::vector<int64_t> block = list("block"), tokens = list("tokens");
  if (block.size() != 2 || tokens.size() != 2 || std::min(block[0], block[1]) < 1) {
    throw DataError("{}: /mask: block or tokens missing", path);
  }
  if (tokens[0] != tokens[1] || file.IntAttribute("/mask", "causal").value_or(0) != 0) {
    throw UsageError("{}: /mask: causal, or of other keys than queries; bench has neither", path);
  }
  const BlockSize size{static_cast<int>(block[0]), static_cast<int>(block[1])};
  const int64_t t_q = BlockCount(tokens[0], size.q), t_k = BlockCount(tokens[1], size.k);
  file.Require("/mask", DType::kU8, {-1, -1, t_q, t_k}, "its own number of tokens");
  const HostArray mask = file.Read("/mask");
  const bench::ProblemShape shape{.batch = mask.shape()[0],
                                  .heads = mask.shape()[1],
                                  .n = tokens[0],
                                  .dim = dim,
                                  .block = size};
  const std::span bytes(reinterpret_cast<const uint8_t*>(mask.data()), mask.bytes());
  return CasesOfMask(shape, bench::ListsOf(bytes, t_k));
}

// Work of verifying, warming up and the fewest repetitions; selections are small beside it.
double TotalFlops(const std::vector<AttentionBenchCase>& cases, int repetitions) {
  double flops = 0;
  for (const AttentionBenchCase& c : cases) flops += PlannedFlops(c) * (2 + repetitions);
  return flops;
}

// A GPU is done long before the host has checked its results.
double DeviceSeconds(const std::vector<AttentionBenchCase>& cases, double seconds) {
  double total = 5.0;  // its libraries, and the fastest product
  for (const AttentionBenchCase& c : cases) {
    const bench::ProblemShape& s = c.shape;
    total +=
        0.5 + 1e-8 * static_cast<double>(s.batch * s.heads * s.n * s.dim) + std::min(seconds, 1.0);
  }
  return total;
}

}  // namespace

Report Bench(const BenchConfig& config, RunScope& scope) {
  Context& context = scope.context();
  const bool on_host = context.device().kind == DeviceKind::kHost;
  const std::vector<AttentionBenchCase> cases = CasesWith(
      config.cases, scope.Has("mask") ? CasesOfFile(scope.Input("mask"), config.dim)
                                      : bench::StandardAttentionCases(context.device().kind));
  bench::AttentionBenchOptions options;
  options.seconds = config.seconds;
  Plan plan{.what = fmt::format("verify and time {} cases of attention", cases.size()),
            .flops = TotalFlops(cases, options.min_repetitions),
            .seconds = on_host ? 0.0 : DeviceSeconds(cases, config.seconds)};
  for (const AttentionBenchCase& c : cases) plan.details.push_back(NameOf(c));
  if (!scope.Begin(plan)) return {};

  const auto total = static_cast<int64_t>(cases.size());
  int64_t done = 0;
  const auto report = [&](const AttentionBenchResult& r) {
    const std::string what =
        r.absent.empty() ? fmt::format("{:.4g} s, {} of peak", r.seconds, Cell(r.share_of_peak))
                         : r.absent;
    scope.progress().Step(++done, total, fmt::format("{}: {}", NameOf(r.spec), what));
  };
  const std::vector<AttentionBenchResult> results =
      bench::RunAttentionBench(context, cases, options, report);

  std::optional<bench::DeviceFacts> facts;
  if (const auto probe = bench::OpenDeviceProbe(context)) facts = probe->Facts();
  Json json = {{"version", Version()},
               {"backend", context.Describe()},
               {"device", facts ? ToJson(*facts) : Json(nullptr)},
               {"threads", context.pool().threads()},
               {"seconds_per_case", config.seconds},
               {"ceilings", CeilingsOf(results)},
               {"results", Json::array()}};
  for (const AttentionBenchResult& r : results) json["results"].push_back(ToJson(r));
  const std::string table = DeviceLine(facts, results) + BenchTable(results);
  if (scope.Has("output")) scope.WriteText(scope.Output(), json.dump(2) + "\n");
  if (scope.Has("table")) scope.WriteText(scope.Input("table"), table);
  return {.text = table,
          .json = json.dump() + "\n",
          .facts = {{"cases", std::to_string(results.size())}, {"backend", context.Describe()}}};
}

}  // namespace suffice::sparsify
