// SPDX-License-Identifier: Apache-2.0
#include <nlohmann/json.hpp>
#include <optional>

#include "kernels/bench/attention_bench.h"
#include "lib/base/error.h"
#include "lib/base/version.h"
#include "lib/sparsify/verbs.h"

namespace suffice::sparsify {
namespace {

using Json = nlohmann::ordered_json;
using bench::AttentionBenchCase;
using bench::AttentionBenchResult;

std::string ShapeText(const bench::ProblemShape& s) {
  return fmt::format("{}x{}x{}x{}", s.batch, s.heads, s.n, s.dim);
}

// operation/dtype/BxHxNxD/density, what --case is compared with.
std::string CaseName(const AttentionBenchCase& c) {
  return fmt::format("{}/{}/{}/{}", NameOf(c.operation), NameOf(c.dtype), ShapeText(c.shape),
                     c.shape.density);
}

std::vector<AttentionBenchCase> CasesWith(const std::string& part) {
  std::vector<AttentionBenchCase> cases;
  std::string names;
  for (const AttentionBenchCase& c : bench::StandardAttentionCases()) {
    const std::string name = CaseName(c);
    names += "\n  " + name;
    if (name.find(part) != std::string::npos) cases.push_back(c);
  }
  if (cases.empty()) throw UsageError("cases: '{}' is in no name of a case:{}", part, names);
  return cases;
}

double ForwardFlops(const AttentionBenchCase& c) {
  const auto n = static_cast<double>(c.shape.n);
  return 4.0 * static_cast<double>(c.shape.batch * c.shape.heads * c.shape.dim) * n * n *
         c.shape.density;
}

// Work of verifying, warming up and the fewest repetitions; selections are small beside it.
double PlannedFlops(const std::vector<AttentionBenchCase>& cases, int repetitions) {
  double flops = 0;
  for (const AttentionBenchCase& c : cases) {
    if (c.operation == bench::AttentionOperation::kSelect) continue;
    const bool backward = c.operation == bench::AttentionOperation::kAttendBackward;
    flops += ForwardFlops(c) * (backward ? 2.5 : 1.0) * (2 + repetitions);
  }
  return flops;
}

Json ToJson(const std::optional<double>& x) { return x ? Json(*x) : Json(nullptr); }

Json ToJson(const AttentionBenchResult& r) {
  return {{"operation", NameOf(r.spec.operation)},
          {"dtype", NameOf(r.spec.dtype)},
          {"shape", {r.spec.shape.batch, r.spec.shape.heads, r.spec.shape.n, r.spec.shape.dim}},
          {"block", {r.spec.shape.block.q, r.spec.shape.block.k}},
          {"density", r.density},
          {"relative_error", r.error},
          {"seconds", r.seconds},
          {"repetitions", r.repetitions},
          {"gflops", r.gflops > 0 ? Json(r.gflops) : Json(nullptr)},
          {"peak_gflops", ToJson(r.peak_gflops)},
          {"share_of_peak", ToJson(r.share_of_peak)},
          {"rate_to_dense", ToJson(r.rate_to_dense)},
          {"seconds_to_attend", ToJson(r.seconds_to_attend)}};
}

std::string Cell(const std::optional<double>& x) { return x ? fmt::format("{:.3f}", *x) : "-"; }

// Also reads as plain text: columns are padded.
std::string Table(const std::vector<AttentionBenchResult>& results) {
  std::string text =
      fmt::format("| {:<15} | {:<5} | {:<15} | {:>7} | {:>9} | {:>8} | {:>8} | {:>8} | {:>9} |\n",
                  "operation", "dtype", "B x H x N x D", "density", "seconds", "GFLOP/s", "of peak",
                  "to dense", "to attend");
  text += fmt::format(
      "| {:-<15} | {:-<5} | {:-<15} | {:->6}: | {:->8}: | {:->7}: | {:->7}: | "
      "{:->7}: | {:->8}: |\n",
      "", "", "", "", "", "", "", "", "");
  for (const AttentionBenchResult& r : results) {
    text += fmt::format(
        "| {:<15} | {:<5} | {:<15} | {:>7.4f} | {:>9.5f} | {:>8} | {:>8} | {:>8} | {:>9} |\n",
        NameOf(r.spec.operation), NameOf(r.spec.dtype), ShapeText(r.spec.shape), r.density,
        r.seconds, r.gflops > 0 ? fmt::format("{:.1f}", r.gflops) : "-", Cell(r.share_of_peak),
        Cell(r.rate_to_dense), Cell(r.seconds_to_attend));
  }
  return text;
}

}  // namespace

Report Bench(const BenchConfig& config, RunScope& scope) {
  const std::vector<AttentionBenchCase> cases = CasesWith(config.cases);
  bench::AttentionBenchOptions options;
  options.seconds = config.seconds;
  Plan plan{.what = fmt::format("verify and time {} cases of attention", cases.size()),
            .flops = PlannedFlops(cases, options.min_repetitions)};
  for (const AttentionBenchCase& c : cases) plan.details.push_back(CaseName(c));
  if (!scope.Begin(plan)) return {};

  Context& context = scope.context();
  const auto total = static_cast<int64_t>(cases.size());
  int64_t done = 0;
  const auto report = [&](const AttentionBenchResult& r) {
    scope.progress().Step(++done, total,
                          fmt::format("{}: {:.4g} s, {} of peak", CaseName(r.spec), r.seconds,
                                      Cell(r.share_of_peak)));
  };
  const std::vector<AttentionBenchResult> results =
      bench::RunAttentionBench(context, cases, options, report);

  Json json = {{"version", Version()},
               {"backend", context.Describe()},
               {"threads", context.pool().threads()},
               {"seconds_per_case", config.seconds},
               {"results", Json::array()}};
  for (const AttentionBenchResult& r : results) json["results"].push_back(ToJson(r));
  const std::string table = Table(results);
  if (scope.Has("output")) scope.WriteText(scope.Output(), json.dump(2) + "\n");
  if (scope.Has("table")) scope.WriteText(scope.Input("table"), table);
  const bool taken = (scope.Has("output") && scope.Output() == "-") ||
                     (scope.Has("table") && scope.Input("table") == "-");
  return {.text = taken ? "" : table,
          .json = json.dump() + "\n",
          .facts = {{"cases", std::to_string(results.size())}, {"backend", context.Describe()}}};
}

}  // namespace suffice::sparsify
