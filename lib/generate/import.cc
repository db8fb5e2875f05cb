// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "lib/base/error.h"
#include "lib/generate/import_tensors.h"
#include "lib/io/ffmpeg.h"
#include "lib/io/image.h"
#include "lib/policy/clips.h"

namespace suffice::generate {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

bool IsPicture(const fs::path& path) {
  const std::string extension = path.extension();
  return extension == ".png" || extension == ".ppm" || extension == ".jpg" || extension == ".jpeg";
}

// Pictures of a folder in the order of their names are the frames of a video; so is one picture.
std::vector<std::string> PicturesOf(const std::string& path) {
  std::vector<std::string> pictures;
  if (fs::is_directory(path)) {
    for (const auto& entry : fs::directory_iterator(path)) {
      if (IsPicture(entry.path())) pictures.push_back(entry.path());
    }
    std::sort(pictures.begin(), pictures.end());
    if (pictures.empty()) throw DataError("{}: no pictures in this folder", path);
  } else if (IsPicture(path)) {
    pictures.push_back(path);
  }
  return pictures;
}

std::string StemOf(const std::string& path) {
  const std::string name = fs::path(path).filename();
  return name.substr(0, name.find('.'));
}

SourceConfig ConfigOf(const ImportConfig& config, const std::string& path) {
  SourceConfig source;
  for (const SourceConfig& candidate : config.sources) {
    if (candidate.file == path || candidate.file == fs::path(path).filename()) source = candidate;
  }
  source.file = path;
  if (source.label.empty()) source.label = StemOf(path);
  if (source.stride == 0) source.stride = config.stride;
  if (!source.crop.empty() && source.crop.size() != 4) {
    throw UsageError("{}: crop: {} numbers, x, y, width, height wanted", path, source.crop.size());
  }
  return source;
}

void CheckNames(const ImportConfig& config, const std::vector<std::string>& paths) {
  for (const SourceConfig& source : config.sources) {
    const bool used = std::any_of(paths.begin(), paths.end(), [&](const std::string& path) {
      return source.file == path || source.file == fs::path(path).filename();
    });
    if (!used) throw UsageError("sources: '{}' is none of the files given", source.file);
  }
}

VideoOptions ToOptions(const ImportConfig& config, const SourceConfig& source) {
  VideoOptions options;
  options.start_seconds = source.start_seconds;
  options.fps = config.fps;
  options.stride = source.stride;
  if (!source.crop.empty()) {
    options.crop_x = static_cast<int>(source.crop[0]);
    options.crop_y = static_cast<int>(source.crop[1]);
    options.crop_width = static_cast<int>(source.crop[2]);
    options.crop_height = static_cast<int>(source.crop[3]);
  }
  options.width = static_cast<int>(config.width);
  options.height = static_cast<int>(config.height);
  options.max_frames = source.max_frames;
  return options;
}

// RGB frames (F, H, W, 3) of the size asked for.
HostArray ReadFrames(RunScope& scope, const ImportConfig& config, const SourceConfig& source) {
  const auto frame_bytes = static_cast<size_t>(config.width * config.height * 3);
  std::vector<uint8_t> frames;
  const auto add = [&](const Picture& picture, const std::string& path) {
    if (picture.width != config.width || picture.height != config.height) {
      throw DataError("{}: {}x{} pixels, the config wants {}x{}", path, picture.width,
                      picture.height, config.width, config.height);
    }
    frames.insert(frames.end(), picture.pixels.begin(), picture.pixels.end());
    const auto count = static_cast<int64_t>(frames.size() / frame_bytes);
    if (count % 32 == 0)
      scope.progress().Step(count, count + 1, fmt::format("{}: {} frames", source.file, count));
  };
  const std::vector<std::string> pictures = PicturesOf(source.file);
  if (!pictures.empty()) {
    for (size_t i = 0; i < pictures.size(); i += static_cast<size_t>(source.stride))
      add(ReadPicture(pictures[i], 3), pictures[i]);
  } else {
    VideoReader reader(source.file, ToOptions(config, source));
    while (const std::optional<Picture> picture = reader.Next()) add(*picture, source.file);
  }
  const auto count = static_cast<int64_t>(frames.size() / frame_bytes);
  return HostArray::From<uint8_t>({count, config.height, config.width, 3}, frames);
}

std::string SavedFrames(size_t source) { return fmt::format("/state/sources/{}/frames", source); }

// Contiguous time: training first, one clip of gap, the held-out part at the end.
void Split(const ImportConfig& config, const SourceConfig& source, ClipSource* clip) {
  const int64_t frames = clip->frames.shape()[0];
  if (source.split == "train") {
    clip->train = {0, frames};
    clip->held_out = {frames, frames};
    return;
  }
  if (source.split == "held_out") {
    clip->train = {0, 0};
    clip->held_out = {0, frames};
    return;
  }
  const auto held = static_cast<int64_t>(static_cast<double>(frames) * config.held_out);
  const int64_t begin = frames - held;
  clip->train = {0, std::max<int64_t>(0, begin - config.clip_frames)};
  clip->held_out = {begin, frames};
  if (clip->train.size() < config.clip_frames ||
      (config.held_out > 0 && held < config.clip_frames)) {
    throw DataError(
        "{}: {} frames; a clip of {} for training, the gap and a clip held out want more",
        source.file, frames, config.clip_frames);
  }
}

}  // namespace

Report Import(const ImportConfig& config, RunScope& scope) {
  const std::vector<std::string> paths = scope.Inputs("sources");
  const auto arrays = std::count_if(paths.begin(), paths.end(), &IsArrayFile);
  if (arrays > 0) {
    if (arrays != static_cast<std::ptrdiff_t>(paths.size()))
      throw UsageError("sources: videos and tensors; one file is made of either");
    return ImportTensors(config, scope);
  }
  CheckNames(config, paths);
  std::vector<SourceConfig> sources;
  std::vector<std::string> classes;
  for (const std::string& path : paths) {
    sources.push_back(ConfigOf(config, path));
    if (std::find(classes.begin(), classes.end(), sources.back().label) == classes.end())
      classes.push_back(sources.back().label);
  }
  Plan plan{.what = fmt::format("import {} sources of {} classes as {}x{} frames", sources.size(),
                                classes.size(), config.width, config.height)};
  plan.details.push_back(
      fmt::format("clips of {} frames, {:.3g} of each source held out behind a gap of one clip",
                  config.clip_frames, config.held_out));
  const auto checkpoint = scope.OpenCheckpoint();
  if (!scope.Begin(plan)) return {};

  std::vector<ClipSource> clips;
  const auto save = [&](TensorWriter& writer) {
    for (size_t i = 0; i < clips.size(); ++i) writer.Dataset(SavedFrames(i), clips[i].frames);
  };
  Json list = Json::array();
  std::string text;
  for (const SourceConfig& source : sources) {
    if (scope.StopRequested()) scope.SaveCheckpoint(save);
    const bool saved = checkpoint && checkpoint->Has(SavedFrames(clips.size()));
    ClipSource clip;
    clip.frames =
        saved ? checkpoint->Read(SavedFrames(clips.size())) : ReadFrames(scope, config, source);
    const int64_t count = clip.frames.shape()[0];
    clip.name = fs::path(source.file).filename();
    clip.label = std::find(classes.begin(), classes.end(), source.label) - classes.begin();
    clip.fps = config.fps / static_cast<double>(source.stride);
    clip.sha256 = scope.DigestOf(source.file);
    Split(config, source, &clip);
    text += fmt::format("{}: class {}, {} frames, train [{}, {}), held out [{}, {})\n", clip.name,
                        source.label, count, clip.train.begin, clip.train.end, clip.held_out.begin,
                        clip.held_out.end);
    list.push_back({{"name", clip.name},
                    {"class", source.label},
                    {"frames", count},
                    {"train", {clip.train.begin, clip.train.end}},
                    {"held_out", {clip.held_out.begin, clip.held_out.end}}});
    clips.push_back(std::move(clip));
  }
  const ClipDataset dataset(classes, std::move(clips), config.clip_frames);
  TensorWriter writer = scope.NewFile(EncodingType::kDataset);
  dataset.Write(&writer);
  scope.Commit(std::move(writer));
  return {.text = text,
          .json = Json{{"output", scope.Output()}, {"classes", classes}, {"sources", list}}.dump() +
                  "\n",
          .facts = {{"sources", std::to_string(sources.size())},
                    {"classes", std::to_string(classes.size())}}};
}

}  // namespace suffice::generate
