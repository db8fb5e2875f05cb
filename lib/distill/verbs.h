// SPDX-License-Identifier: Apache-2.0
// The verbs of distill: train a dense model from data, a sparse student from its dense teacher, and
// carry differences of weights from one model to another.
#pragma once

#include <string>
#include <vector>

#include "lib/distill/train_loop.h"
#include "lib/run/run_scope.h"
#include "lib/run/verb.h"

namespace suffice::distill {

struct PretrainConfig {
  int64_t frames = 16, height = 48, width = 64;
  VideoDitConfig model;
  TrainConfig train;
};
void Visit(Fields& f, PretrainConfig& c);

struct SparseConfig {
  std::string loss = "velocity";
  std::string setting;
  TrainConfig train;
};
void Visit(Fields& f, SparseConfig& c);

struct MergeConfig {
  double scale = 1.0;
  std::string stored = "bf16";
};
void Visit(Fields& f, MergeConfig& c);

Report Pretrain(const PretrainConfig& config, RunScope& scope);  // flow matching
Report Sparse(const SparseConfig& config,
              RunScope& scope);  // velocity distillation, or diffusion loss
Report Merge(const MergeConfig& config, RunScope& scope);  // weights + scale (b - a)

std::vector<Verb> Verbs();

}  // namespace suffice::distill
