// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "lib/base/error.h"
#include "lib/generate/frames.h"
#include "lib/generate/verbs.h"
#include "lib/io/atomic_file.h"
#include "lib/io/ffmpeg.h"
#include "lib/io/npy.h"
#include "lib/io/safetensors.h"
#include "lib/io/y4m.h"

namespace suffice::generate {
namespace {

namespace fs = std::filesystem;

enum class Kind : uint8_t { kSheet, kMp4, kY4m, kFolder, kSafetensors, kNpy };

Kind KindOf(const std::string& output) {
  if (output == "-") return Kind::kY4m;
  const std::string ending = fs::path(output).extension();
  if (ending == ".png") return Kind::kSheet;
  if (ending == ".mp4") return Kind::kMp4;
  if (ending == ".y4m") return Kind::kY4m;
  if (ending == ".safetensors") return Kind::kSafetensors;
  if (ending == ".npy") return Kind::kNpy;
  if (ending.empty()) return Kind::kFolder;
  throw UsageError(
      "{}: ending '{}': .png, .mp4, .y4m, .safetensors, .npy or a folder without one wanted",
      output, ending);
}

// A rate of at most three decimals as a fraction.
FrameRate ToRate(double fps) {
  const auto thousands = static_cast<int>(std::lround(fps * 1000));
  if (thousands < 1) throw UsageError("fps {}: too low", fps);
  return thousands % 1000 == 0 ? FrameRate{thousands / 1000, 1} : FrameRate{thousands, 1000};
}

template <class Writer>
void WriteFrames(RunScope& scope, const VideoSet& set, Writer&& writer) {
  const int64_t frames = LongestOf(set);
  for (int64_t i = 0; i < frames; ++i) {
    writer.WriteFrame(Mosaic(set, i).pixels);
    scope.progress().Step(i + 1, frames, fmt::format("frame {}/{}", i + 1, frames));
  }
  writer.Commit();
}

// Appears whole: pictures go to a folder beside it that is renamed at the end.
void WriteFolder(RunScope& scope, const VideoSet& set, const std::string& path) {
  fs::path temporary = fs::absolute(path);
  temporary.replace_filename(fmt::format(".{}.tmp.{}", temporary.filename().string(), getpid()));
  struct Cleanup {
    const fs::path& folder;
    ~Cleanup() {
      std::error_code ignored;
      fs::remove_all(folder, ignored);
    }
  } cleanup{temporary};
  fs::create_directories(temporary);
  const int64_t frames = LongestOf(set);
  for (int64_t i = 0; i < frames; ++i) {
    WritePng(temporary / fmt::format("frame-{:05}.png", i), Mosaic(set, i));
    scope.progress().Step(i + 1, frames, fmt::format("frame {}/{}", i + 1, frames));
  }
  fs::rename(temporary, path);
}

// A model's parameters under their names; of any other file paths with dots for slashes.
std::string ExportedName(const TensorReader& file, const std::string& path) {
  constexpr std::string_view kParams = "/params/";
  const bool parameter =
      file.header().encoding_type == EncodingType::kModel && path.starts_with(kParams);
  std::string name = path.substr(parameter ? kParams.size() : 1);
  std::replace(name.begin(), name.end(), '/', '.');
  return name;
}

size_t WriteSafetensors(const TensorReader& file, const std::string& digest,
                        const std::string& output, bool force) {
  std::vector<SafetensorSpec> specs;
  std::vector<std::string> paths;
  for (const DatasetInfo& info : file.datasets()) {
    if (info.is_strings || info.path.starts_with(kRunGroup) ||
        info.path.starts_with(kReceiptGroup)) {
      continue;
    }
    specs.push_back({ExportedName(file, info.path), info.dtype, info.shape});
    paths.push_back(info.path);
  }
  if (specs.empty()) throw DataError("{}: no tensors", file.path());
  std::map<std::string, std::string> metadata = {
      {"format", std::string(kTensorFormat)},
      {"encoding-type", std::string(NameOf(file.header().encoding_type))},
      {"content-digest", digest}};
  for (const char* group : {"/architecture", "/contract"}) {
    if (const auto yaml = file.StringAttribute(group, "yaml")) metadata[group + 1] = *yaml;
  }
  SafetensorsWriter writer(output, specs, metadata, force);
  for (size_t i = 0; i < specs.size(); ++i) writer.Write(specs[i].name, file.Read(paths[i]));
  writer.Commit();
  return specs.size();
}

void WriteArray(const TensorReader& file, const std::string& dataset, const std::string& output,
                bool force) {
  const DatasetInfo& info = file.Info(dataset);
  if (info.is_strings) throw DataError("{}: {}: strings, numbers wanted", file.path(), dataset);
  const HostArray array = file.Read(dataset);
  WriteNpy(output, array.dtype() == DType::kBF16 ? array.Cast(DType::kF32) : array, force);
}

}  // namespace

Report Export(const ExportConfig& config, RunScope& scope) {
  const std::string &path = scope.Input("file"), &output = scope.Output();
  const Kind kind = KindOf(output);
  if ((kind == Kind::kNpy) != !config.dataset.empty()) {
    throw UsageError(
        "{}: --dataset PATH {}", output,
        kind == Kind::kNpy ? "is wanted: an .npy holds one array" : "goes with an .npy alone");
  }
  const TensorReader file(path);
  VideoSet set;
  std::string what;
  if (kind == Kind::kNpy) {
    what = fmt::format("{} {}", config.dataset, ToString(file.Info(config.dataset).shape));
  } else if (kind == Kind::kSafetensors) {
    what = "the tensors";
  } else {
    set = ReadVideos(file, config.videos);
    what = fmt::format("{} videos of {}x{}, at most {} frames", set.videos.size(),
                       set.videos.front().width, set.videos.front().height, LongestOf(set));
  }
  if (!scope.Begin({.what = fmt::format("export {} of {}", what, path)})) return {};

  const bool force = scope.options().force;
  const double fps = config.fps > 0 ? config.fps : set.fps;
  switch (kind) {
    case Kind::kSheet:
      WritePng(output, ContactSheet(set, config.columns), force);
      break;
    case Kind::kMp4: {
      const Picture first = Mosaic(set, 0);
      WriteFrames(scope, set,
                  VideoWriter(output, first.width, first.height, ToRate(fps), force,
                              static_cast<int>(config.crf)));
      break;
    }
    case Kind::kY4m: {
      const Picture first = Mosaic(set, 0);
      WriteFrames(scope, set, Y4mWriter(output, first.width, first.height, ToRate(fps), force));
      break;
    }
    case Kind::kFolder:
      WriteFolder(scope, set, output);
      break;
    case Kind::kSafetensors:
      what = fmt::format("{} tensors", WriteSafetensors(file, scope.DigestOf(path), output, force));
      break;
    case Kind::kNpy:
      WriteArray(file, config.dataset, output, force);
      break;
  }
  if (output != "-") scope.AddOutput(output);
  const nlohmann::ordered_json json = {{"output", output}, {"what", what}};
  return {.text = fmt::format("{}: {} of {}\n", output, what, path), .json = json.dump() + "\n"};
}

}  // namespace suffice::generate
