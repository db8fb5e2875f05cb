// SPDX-License-Identifier: Apache-2.0
// The verbs of generate: run a model, bring foreign data in, take results out.
#pragma once

#include <string>
#include <vector>

#include "lib/run/run_scope.h"
#include "lib/run/verb.h"

namespace suffice::generate {

// How one source is brought in; what is not said is as for all.
struct SourceConfig {
  std::string file;   // as given on the command line, or its last part
  std::string label;  // class; empty: the file's name without what follows the first dot
  double start_seconds = 0;
  int64_t stride = 0;          // 0: as for all
  int64_t max_frames = 0;      // 0: all
  std::vector<int64_t> crop;   // x, y, width, height; empty: all of the picture
  std::string split = "both";  // both, train, held_out
};
void Visit(Fields& f, SourceConfig& c);

struct ImportConfig {
  int64_t clip_frames = 16;
  int64_t width = 64, height = 48;
  double fps = 0;
  int64_t stride = 1;
  double held_out = 0.25;
  std::vector<SourceConfig> sources;
};
void Visit(Fields& f, ImportConfig& c);

Report Import(const ImportConfig& config, RunScope& scope);

std::vector<Verb> Verbs();

}  // namespace suffice::generate
