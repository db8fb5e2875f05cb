// SPDX-License-Identifier: Apache-2.0
// The verbs of sparsify: turn attention sparse and say what it costs.
//
// q, k, v come from one tensor file: datasets q (B, H, N_q, D), k and v (B, H_kv, N_k, D) of one
// group, as generate capture writes them (one group a layer), or as anything that writes
// suffice-tensor(5).
#pragma once

#include <string>
#include <vector>

#include "lib/policy/setting.h"
#include "lib/run/run_scope.h"
#include "lib/run/verb.h"

namespace suffice::sparsify {

// What attend and mask share.
struct SelectionConfig {
  std::string at = "/";
  std::string rule = "hybrid";
  Ppm k{30'000};
  Ppm p{200'000};
  int64_t window = -1;
  int64_t pin_begin = 0, pin_end = 0;
  int64_t block_q = 128, block_k = 64;
  bool causal = false;
  double scale = 0;
};
void VisitSelection(Fields& f, SelectionConfig& c);

struct AttendConfig : SelectionConfig {
  bool exact = false;
  int64_t sample_rows = 0;
};
void Visit(Fields& f, AttendConfig& c);

struct MaskConfig : SelectionConfig {};
void Visit(Fields& f, MaskConfig& c);

struct SweepConfig {
  std::vector<std::string> rules = {"topk", "topp", "hybrid"};
  std::vector<Ppm> k = {{30'000}, {50'000}, {100'000}, {200'000}};
  std::vector<Ppm> p = {{200'000}, {400'000}, {600'000}, {800'000}};
  std::vector<Ppm> hybrid_p = {{200'000}};
  std::vector<std::string> orders = {"raster", "tiles"};
  std::vector<int64_t> tile = {4, 4, 4};
  std::vector<std::string> scores = {"mean"};  // lib/sparsify/block_scores.h
  int64_t row_groups = 1;
  int64_t block_q = 128, block_k = 64;
};
void Visit(Fields& f, SweepConfig& c);

struct BenchConfig {
  std::string cases;   // part of the names of those to run; empty: all
  double seconds = 2;  // of timing a case, after its verification
  int64_t dim = 128;   // with a mask
};
void Visit(Fields& f, BenchConfig& c);

Report Attend(const AttendConfig& config, RunScope& scope);
Report Mask(const MaskConfig& config, RunScope& scope);
Report Sweep(const SweepConfig& config, RunScope& scope);
Report Model(const Contract& config, RunScope& scope);  // attaches a contract to a dense model

// The shards of a sweep, as sweep --shard writes them, as one table.
Report Merge(const NoConfig& config, RunScope& scope);

// Verifies and times attention against the ceiling of the machine it runs on.
Report Bench(const BenchConfig& config, RunScope& scope);

std::vector<Verb> Verbs();

}  // namespace suffice::sparsify
