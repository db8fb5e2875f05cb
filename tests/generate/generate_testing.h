// SPDX-License-Identifier: Apache-2.0
// A tiny model with clips for it as files, and verbs driven as an executable drives them.
#pragma once

#include <gtest/gtest.h>
#include <stdio.h>

#include <csignal>

#include "lib/generate/verbs.h"
#include "lib/model/held_out.h"
#include "lib/model/model_file.h"
#include "lib/policy/clips.h"
#include "lib/run/run_verb.h"
#include "lib/run/signals.h"
#include "lib/sparsify/verbs.h"
#include "tests/io/io_testing.h"
#include "tests/model/model_testing.h"

namespace suffice::testing {

struct RunResult {
  int code = -1;
  std::string out, err;
};

// What a stream of the test sees, and where it stops the run: at the first text with `stop_at`.
struct Watcher {
  std::string text;
  std::string stop_at;
};

inline ssize_t Watch(void* cookie, const char* data, size_t bytes) {
  auto* watcher = static_cast<Watcher*>(cookie);
  watcher->text.append(data, bytes);
  if (!watcher->stop_at.empty() && watcher->text.find(watcher->stop_at) != std::string::npos) {
    watcher->stop_at.clear();
    std::raise(SIGTERM);
  }
  return static_cast<ssize_t>(bytes);
}

inline std::FILE* OpenWatched(Watcher* watcher) {
  cookie_io_functions_t functions{};
  functions.write = &Watch;
  return fopencookie(watcher, "w", functions);
}

using Arguments = std::map<std::string, std::vector<std::string>>;

// Runs verb `name` of a tool. `stop_at`: SIGTERM as soon as the progress says this.
inline RunResult RunTool(const std::vector<Verb>& verbs, const std::string& name,
                         const Arguments& arguments, const Options& options = {},
                         const std::string& stop_at = {}) {
  Watcher out, err;
  err.stop_at = stop_at;
  RunResult result;
  for (const Verb& verb : verbs) {
    if (verb.info.name != name) continue;
    Invocation invocation;
    invocation.verb = &verb;
    invocation.options = options;
    if (options.context.threads == 0) invocation.options.context.threads = 2;
    invocation.arguments = arguments;
    invocation.argv = {verb.info.tool, name};
    std::FILE* out_stream = OpenWatched(&out);
    std::FILE* err_stream = OpenWatched(&err);
    result.code = RunVerb(invocation, out_stream, err_stream);
    std::fclose(out_stream);
    std::fclose(err_stream);
    ForgetSignals();
  }
  result.out = out.text;
  result.err = err.text;
  return result;
}

inline RunResult Generate(const std::string& name, const Arguments& arguments,
                          const Options& options = {}, const std::string& stop_at = {}) {
  return RunTool(generate::Verbs(), name, arguments, options, stop_at);
}

inline Options Set(std::vector<std::string> sets, int64_t seed = 7) {
  Options options;
  options.sets = std::move(sets);
  options.seed = seed;
  return options;
}

inline ModelInfo DenseInfo() {
  ModelInfo info;
  info.architecture.width = 32;
  info.architecture.depth = 2;
  info.architecture.heads = 2;
  info.architecture.classes = 2;
  info.architecture.time_features = 16;
  info.resolution = {4, 32, 32};  // 256 tokens: 2 query blocks, 4 key blocks
  info.classes = {"box", "cup"};
  return info;
}

inline Contract TwoSettings() {
  Contract contract;
  contract.resolution = {4, 32, 32};
  Setting half, quarter;
  half.name = "half";
  half.rule = quarter.rule = "topk";
  half.k = {500'000};
  quarter.name = "quarter";
  quarter.k = {250'000};
  contract.settings = {half, quarter};
  return contract;
}

// A folder with clips.h5, dense.h5 and sparse.h5 (the same weights with a contract).
class Scenario {
 public:
  Scenario() {
    WriteClips();
    Context context({.backend = "cpu", .isa = "auto", .threads = 1, .device = 0});
    VideoDit model(context, DenseInfo().architecture, DType::kF32);
    model.parameters().Initialize(3);
    Stir(model, 5);
    weights = model.parameters().Export();
    WriteModelFile("dense.h5", DenseInfo(), weights);
    ModelInfo sparse = DenseInfo();
    sparse.contract = TwoSettings();
    WriteModelFile("sparse.h5", sparse, weights);
  }
  std::string operator/(const std::string& name) const { return folder_ / name; }
  void WriteModelFile(const std::string& name, const ModelInfo& info,
                      const std::vector<NamedArray>& arrays) const {
    FileHeader header;
    header.encoding_type = EncodingType::kModel;
    TensorWriter writer(folder_ / name, header);
    WriteModel(&writer, info, arrays, DType::kF32);
    writer.Commit();
  }

  std::vector<NamedArray> weights;

 private:
  void WriteClips() const {
    std::vector<ClipSource> sources;
    for (int64_t n = 0; n < 2; ++n) {
      ClipSource source;
      source.name = n == 0 ? "a" : "b";
      source.label = n;
      source.fps = 12;
      source.frames = HostArray(DType::kU8, {30, 36, 40, 3});
      source.train = {0, 16};
      source.held_out = {20, 30};
      uint64_t i = 0;
      for (uint8_t& x : source.frames.values<uint8_t>()) {
        x = static_cast<uint8_t>(
            Philox(static_cast<uint64_t>(n), static_cast<uint32_t>(Stream::kTest), i++)[0]);
      }
      sources.push_back(std::move(source));
    }
    FileHeader header;
    header.encoding_type = EncodingType::kDataset;
    TensorWriter writer(folder_ / "clips.h5", header);
    ClipDataset({"box", "cup"}, std::move(sources), 4).Write(&writer);
    writer.Commit();
  }

  TempFolder folder_;
};

}  // namespace suffice::testing
