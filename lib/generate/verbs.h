// SPDX-License-Identifier: Apache-2.0
// The verbs of generate: run a model, bring foreign data in, take results out.
#pragma once

#include <string>
#include <vector>

#include "lib/base/ppm.h"
#include "lib/policy/setting.h"
#include "lib/run/run_scope.h"
#include "lib/run/verb.h"

namespace suffice::generate {

// A window that moves over a photograph and makes a clip of it (lib/generate/motion.h).
struct MotionConfig {
  int64_t frames = 0;             // of a path; 0: no motion
  std::vector<int64_t> from, to;  // x, y, width, height in pixels; empty: random paths
  int64_t paths = 0;              // random ones
  std::vector<Ppm> scale = {{300'000}, {700'000}};  // of the largest window that fits
  int64_t seed = 0;  // of random paths, together with the file's digest
};
void Visit(Fields& f, MotionConfig& c);

// How one source is brought in; what is not said is as for all. A file may have several entries:
// each becomes a source.
struct SourceConfig {
  std::string file;   // as given on the command line, or its last part
  std::string label;  // class; empty: the file's name without what follows the first dot
  double start_seconds = 0;
  int64_t stride = 0;          // 0: as for all
  int64_t max_frames = 0;      // 0: all
  std::vector<int64_t> crop;   // x, y, width, height; empty: all of the picture
  std::string split = "both";  // both, train, held_out
  MotionConfig motion;
};
void Visit(Fields& f, SourceConfig& c);

struct ImportConfig {
  int64_t clip_frames = 16;
  int64_t width = 64, height = 48;
  double fps = 0;
  int64_t stride = 1;
  double held_out = 0.25;
  std::vector<std::string> classes;  // in the order of their numbers; empty: as labels appear
  std::vector<SourceConfig> sources;
  std::string tensors_as = "keep";  // safetensors and npy: keep, f32, bf16
  std::vector<int64_t> grid;        // of their tokens: frames, rows, columns; empty: not said
};
void Visit(Fields& f, ImportConfig& c);

struct CaptureConfig {
  int64_t draws = 2;
  std::vector<double> times = {0.25, 0.5, 0.75};
  std::vector<int64_t> layers, heads;  // empty: all
  std::string setting;
  std::string compute = "bf16";
};
void Visit(Fields& f, CaptureConfig& c);

struct EvaluateConfig {
  int64_t units = 64;
  double epsilon = 0.05;
  std::string compute = "bf16";
  std::vector<Setting> settings;  // empty: those of the model's contract
};
void Visit(Fields& f, EvaluateConfig& c);

struct SampleConfig {
  int64_t steps = 20;
  std::string solver = "euler";
  double shift = 1.0;
  double guidance = 1.0;
  std::string classes;  // names or indices between commas; empty: all
  int64_t count = 0;    // 0: one of each of these classes
  int64_t batch = 1;
  std::string setting;
  int64_t frames = 0, height = 0, width = 0;  // 0: the model's
  double fps = 8;
  bool save_trajectory = false;
  std::string compute = "bf16";
  std::string stored = "f32";
};
void Visit(Fields& f, SampleConfig& c);

struct ExportConfig {
  std::string dataset;          // path of what becomes an .npy
  std::vector<int64_t> videos;  // by number; empty: all
  int64_t columns = 16;         // of a contact sheet; 0: every frame
  double fps = 0;               // 0: the file's
  int64_t crf = 18;
};
void Visit(Fields& f, ExportConfig& c);

struct CompareConfig {
  int64_t draws = 0;  // of a dataset; 0: as many as the samples
  std::string split = "held_out";
  bool flips = true;
  int64_t directions = 64;
  int64_t resamples = 1000;
  int64_t batch = 4;
  std::string compute = "f32";
};
void Visit(Fields& f, CompareConfig& c);

Report Import(const ImportConfig& config, RunScope& scope);

// q, k, v after normalisation and rotation, as attended, at held-out draws x times: datasets
// /layers/L/{q,k,v} (U, H, N, D), U = draws x times with times fastest, and /units/{id,source,
// start,t}; attributes grid (tokens: frames, rows, columns), token-order, tile, layers, heads,
// setting.
Report Capture(const CaptureConfig& config, RunScope& scope);

// A runs file (lib/policy/runs.h): every setting at the same held-out units against the dense
// reference, which is the last column. Losses: error = min(1, |u - u_d|^2 / |u_d|^2) over the
// velocities u, and failure = 1 where error exceeds epsilon, else 0. Cost is GFLOP of the forward
// pass: linears, and 4 D x the (query, key) pairs that were kept; without pooling and selection.
Report Evaluate(const EvaluateConfig& config, RunScope& scope);

// A samples file: /video (B, C, F, Y, X) in about [-1, 1], /labels (B) i32 (-1 without classes),
// /classes; with save_trajectory /trajectory/x (B, steps + 1, C, F, Y, X) and /trajectory/t;
// attributes fps, model (digest of the file that was run), setting, density (over all passes). The
// same seed gives sample i the same noise in any batch.
Report Sample(const SampleConfig& config, RunScope& scope);

// By the ending of OUTPUT: .png a contact sheet with a row for each video; .mp4, .y4m, "-" (y4m to
// stdout) and a folder (frame-00000.png, ...) all videos at once in a grid; .safetensors every
// tensor; .npy one dataset, bf16 as f32.
Report Export(const ExportConfig& config, RunScope& scope);

// Shards of Sample, Evaluate or Capture (root attributes shard, shard-range, shard-pairs;
// lib/run/shard.h) as the file of the unsharded run: the same content digest, of a runs file but
// for the seconds. The attribute shards of /run lists them. kData, naming file and shard, for what
// is no shard, is missing or given twice, overlaps, or differs in type, producer, config, seed,
// backend, inputs or model.
Report Merge(const NoConfig& config, RunScope& scope);

// A table of scores (lib/generate/scores.h) of a samples file against another one or against clips
// of a dataset: .tsv, "-" (TSV to stdout) or .json by the ending of OUTPUT.
Report Compare(const CompareConfig& config, RunScope& scope);

Report InspectFile(const NoConfig& config, RunScope& scope);

std::vector<Verb> Verbs();

}  // namespace suffice::generate
