// SPDX-License-Identifier: Apache-2.0
#include "lib/sparsify/bench_table.h"

#include <algorithm>

#include "kernels/bench/median.h"

namespace suffice::sparsify {
namespace {

using Json = nlohmann::ordered_json;
using bench::AttentionBenchResult;
using Field = std::optional<double> AttentionBenchResult::*;

Json OrNull(const std::optional<double>& x) { return x ? Json(*x) : Json(nullptr); }

std::optional<double> MedianOf(std::span<const AttentionBenchResult> results, Field field) {
  std::vector<double> values;
  for (const AttentionBenchResult& r : results) {
    if (r.*field) values.push_back(*(r.*field));
  }
  if (values.empty()) return std::nullopt;
  return bench::Median(std::move(values));
}

// What a case differs by from the usual, for the table's one column.
std::string Variant(const bench::AttentionBenchCase& c) {
  std::string text = fmt::format("{}x{}", c.shape.block.q, c.shape.block.k);
  if (c.shape.spread != bench::ListSpread::kEqual)
    text += " " + std::string(NameOf(c.shape.spread));
  if (c.rule != SelectRule::kTopK) text += " " + std::string(bench::NameOf(c.rule));
  return text;
}

}  // namespace

Json ToJson(const AttentionBenchResult& r) {
  const bench::ProblemShape& shape = r.spec.shape;
  const bool absent = !r.absent.empty();
  return {{"case", NameOf(r.spec)},
          {"operation", NameOf(r.spec.operation)},
          {"dtype", NameOf(r.spec.dtype)},
          {"shape", {shape.batch, shape.heads, shape.n, shape.dim}},
          {"block", {shape.block.q, shape.block.k}},
          {"lists", NameOf(shape.spread)},
          {"rule", bench::CountsFlops(r.spec.operation) &&
                           r.spec.operation != bench::AttentionOperation::kLayer
                       ? Json(nullptr)
                       : Json(bench::NameOf(r.spec.rule))},
          {"absent", absent ? Json(r.absent) : Json(nullptr)},
          {"density", absent ? Json(nullptr) : Json(r.density)},
          {"relative_error", absent ? Json(nullptr) : Json(r.error)},
          {"seconds", absent ? Json(nullptr) : Json(r.seconds)},
          {"repetitions", r.repetitions},
          {"gflops", r.gflops > 0 ? Json(r.gflops) : Json(nullptr)},
          {"peak_gflops", OrNull(r.peak_gflops)},
          {"share_of_peak", OrNull(r.share_of_peak)},
          {"copy_bytes_per_second", OrNull(r.copy_bytes_per_second)},
          {"share_of_copy", OrNull(r.share_of_copy)},
          {"rate_to_dense", OrNull(r.rate_to_dense)},
          {"seconds_to_attend", OrNull(r.seconds_to_attend)}};
}

Json ToJson(const bench::DeviceFacts& facts) {
  return {{"name", facts.name},
          {"driver", facts.driver.empty() ? Json(nullptr) : Json(facts.driver)},
          {"toolkit_of_driver", facts.toolkit_of_driver},
          {"toolkit_of_build", facts.toolkit_of_build},
          {"multiprocessors", facts.multiprocessors},
          {"highest_clock_mhz", facts.clock_mhz},
          {"memory_bytes", facts.memory_bytes},
          {"cache_bytes", facts.cache_bytes}};
}

Json CeilingsOf(std::span<const AttentionBenchResult> results) {
  return {{"peak_gflops", OrNull(MedianOf(results, &AttentionBenchResult::peak_gflops))},
          {"copy_bytes_per_second",
           OrNull(MedianOf(results, &AttentionBenchResult::copy_bytes_per_second))}};
}

std::string Cell(const std::optional<double>& x) { return x ? fmt::format("{:.3f}", *x) : "-"; }

std::string DeviceLine(const std::optional<bench::DeviceFacts>& facts,
                       std::span<const AttentionBenchResult> results) {
  if (!facts) return "";
  const auto product = MedianOf(results, &AttentionBenchResult::peak_gflops);
  const auto copy = MedianOf(results, &AttentionBenchResult::copy_bytes_per_second);
  return fmt::format("{}, driver {}: product {} TFLOP/s, copy {} TB/s\n\n", facts->name,
                     facts->driver.empty() ? "unknown" : facts->driver,
                     product ? fmt::format("{:.0f}", *product * 1e-3) : "-",
                     copy ? fmt::format("{:.2f}", *copy * 1e-12) : "-");
}

std::string BenchTable(std::span<const AttentionBenchResult> results) {
  constexpr const char* kRow =
      "| {:<15} | {:<5} | {:<15} | {:<17} | {:>7} | {:>10} | {:>8} | {:>8} | {:>8} | {:>8} | {:>9} "
      "|\n";
  std::string text =
      fmt::format(fmt::runtime(kRow), "operation", "dtype", "B x H x N x D", "blocks", "density",
                  "ms", "GFLOP/s", "of peak", "of copy", "to dense", "to attend");
  text += fmt::format(
      "| {:-<15} | {:-<5} | {:-<15} | {:-<17} | {:->6}: | {:->9}: | {:->7}: | {:->7}: | {:->7}: | "
      "{:->7}: | {:->8}: |\n",
      "", "", "", "", "", "", "", "", "", "", "");
  for (const AttentionBenchResult& r : results) {
    const bool absent = !r.absent.empty();
    text += fmt::format(fmt::runtime(kRow), NameOf(r.spec.operation), NameOf(r.spec.dtype),
                        ShapeText(r.spec.shape), Variant(r.spec),
                        absent ? "-" : fmt::format("{:.4f}", r.density),
                        absent ? "-" : fmt::format("{:.4f}", 1e3 * r.seconds),
                        r.gflops > 0 ? fmt::format("{:.1f}", r.gflops) : "-", Cell(r.share_of_peak),
                        Cell(r.share_of_copy), Cell(r.rate_to_dense), Cell(r.seconds_to_attend));
  }
  return text;
}

}  // namespace suffice::sparsify
