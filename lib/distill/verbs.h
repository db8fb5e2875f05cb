// SPDX-License-Identifier: Apache-2.0
// The verbs of distill: train a dense model from data, a sparse student from its dense teacher,
// carry differences of weights from one model to another, and train the classifier in whose
// features samples are compared.
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

// The classifier's blocks; the rest of them is as VideoDitConfig has it.
struct ClassifierModelConfig {
  std::vector<int64_t> patch = {4, 16, 16};
  int64_t width = 32;
  int64_t depth = 3;
  int64_t heads = 2;
  double mlp_ratio = 4.0;
};
struct ClassifierTrainConfig {
  int64_t steps = 600;
  int64_t batch = 16;
  int64_t micro_batch = 8;
  bool flips = true;
  std::string compute = "f32";
  int64_t held_out_draws = 512;
  AdamWConfig optimizer = {.lr = 2e-3};
};
struct ClassifyConfig {
  int64_t frames = 16, height = 48, width = 64;
  ClassifierModelConfig model;
  ClassifierTrainConfig train;
};
void Visit(Fields& f, ClassifyConfig& c);

Report Pretrain(const PretrainConfig& config, RunScope& scope);  // flow matching
Report Sparse(const SparseConfig& config,
              RunScope& scope);  // velocity distillation, or diffusion loss
Report Merge(const MergeConfig& config, RunScope& scope);  // weights + scale (b - a)
// A classifier file (lib/model/classifier_file.h) from one or more datasets of the same classes.
Report Classify(const ClassifyConfig& config, RunScope& scope);

std::vector<Verb> Verbs();

}  // namespace suffice::distill
