// SPDX-License-Identifier: Apache-2.0
// A bench's results as JSON and as a Markdown table, which also reads as plain text.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>

#include "kernels/bench/attention_bench.h"
#include "kernels/bench/device_probe.h"

namespace suffice::sparsify {

nlohmann::ordered_json ToJson(const bench::AttentionBenchResult& result);
nlohmann::ordered_json ToJson(const bench::DeviceFacts& facts);

// Medians over the results of the ceilings that they are held against; null where none was.
nlohmann::ordered_json CeilingsOf(std::span<const bench::AttentionBenchResult> results);

std::string BenchTable(std::span<const bench::AttentionBenchResult> results);
// Name, driver and ceilings of a device, one line; empty for a host.
std::string DeviceLine(const std::optional<bench::DeviceFacts>& facts,
                       std::span<const bench::AttentionBenchResult> results);

std::string Cell(const std::optional<double>& x);  // "0.873", or "-"

}  // namespace suffice::sparsify
