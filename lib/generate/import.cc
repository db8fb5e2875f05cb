// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>

#include "lib/base/error.h"
#include "lib/generate/import_tensors.h"
#include "lib/generate/motion.h"
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

bool Names(const SourceConfig& entry, const std::string& path) {
  return entry.file == path || entry.file == fs::path(path).filename();
}

// The entries of a file, or one that says nothing.
std::vector<SourceConfig> ConfigsOf(const ImportConfig& config, const std::string& path) {
  std::vector<SourceConfig> entries;
  for (const SourceConfig& entry : config.sources) {
    if (Names(entry, path)) entries.push_back(entry);
  }
  if (entries.empty()) entries.emplace_back();
  for (SourceConfig& source : entries) {
    source.file = path;
    if (source.label.empty()) source.label = StemOf(path);
    if (source.stride == 0) source.stride = config.stride;
    if (!source.crop.empty() && source.crop.size() != 4) {
      throw UsageError("{}: crop: {} numbers, x, y, width, height wanted", path,
                       source.crop.size());
    }
    CheckMotion(source);
    if (Moves(source) && !IsPicture(path)) {
      throw UsageError("{}: motion: of one picture, this is none", path);
    }
  }
  return entries;
}

// Those that the config names, or the labels in the order in which they appear.
std::vector<std::string> ClassesOf(const ImportConfig& config,
                                   const std::vector<SourceConfig>& sources) {
  std::vector<std::string> classes;
  for (const std::string& name : config.classes) {
    if (std::find(classes.begin(), classes.end(), name) != classes.end())
      throw UsageError("classes: '{}' is named twice", name);
    classes.push_back(name);
  }
  for (const SourceConfig& source : sources) {
    if (std::find(classes.begin(), classes.end(), source.label) != classes.end()) continue;
    if (!config.classes.empty()) {
      throw UsageError("{}: label '{}': none of the classes, which are {}", source.file,
                       source.label, fmt::join(classes, ", "));
    }
    classes.push_back(source.label);
  }
  return classes;
}

// Entries with the same content, under whatever names, must not bring it into both splits.
void CheckLeaks(RunScope& scope, const std::vector<SourceConfig>& sources) {
  std::map<std::string, const SourceConfig*> seen;
  for (const SourceConfig& source : sources) {
    const auto [first, added] = seen.try_emplace(scope.DigestOf(source.file), &source);
    const SourceConfig& other = *first->second;
    if (added) continue;
    if (source.split != other.split) {
      throw UsageError(
          "{}: split: {} here and {} at another entry of the same content; its frames "
          "would be in both splits",
          source.file, source.split, other.split);
    }
    if (source.split == "both" &&
        (source.start_seconds != other.start_seconds || source.stride != other.stride ||
         source.max_frames != other.max_frames)) {
      throw UsageError(
          "{}: entries of the same content with other start_seconds, stride or "
          "max_frames; their splits by time would overlap",
          source.file);
    }
  }
}

void CheckNames(const ImportConfig& config, const std::vector<std::string>& paths) {
  for (const SourceConfig& source : config.sources) {
    const bool used = std::any_of(paths.begin(), paths.end(),
                                  [&](const std::string& path) { return Names(source, path); });
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

// Decodes a photograph once for all paths over it.
class PathReader {
 public:
  HostArray Read(RunScope& scope, const ImportConfig& config, const SourceConfig& source,
                 int64_t path) {
    if (file_ != source.file) {
      picture_.emplace(ReadPicture(source.file, 3));
      file_ = source.file;
    }
    const PictureSize frame{config.width, config.height};
    // The leading 64 bits of the digest: another photograph, other paths; another name, the same.
    const uint64_t seed = static_cast<uint64_t>(source.motion.seed) ^
                          std::stoull(scope.DigestOf(source.file).substr(0, 16), nullptr, 16);
    const MotionPath ends = PathOf(source, path, picture_->size(), frame, seed);
    std::vector<uint8_t> frames;
    for (int64_t i = 0; i < source.motion.frames; ++i)
      picture_->Append(WindowAt(ends, i, source.motion.frames), frame, &frames);
    scope.progress().Step(path + 1, PathCount(source), source.file);
    return HostArray::From<uint8_t>({source.motion.frames, config.height, config.width, 3}, frames);
  }

 private:
  std::string file_;
  std::optional<MovingPicture> picture_;
};

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
  for (const std::string& path : paths) {
    for (SourceConfig& source : ConfigsOf(config, path)) sources.push_back(std::move(source));
  }
  const std::vector<std::string> classes = ClassesOf(config, sources);
  CheckLeaks(scope, sources);
  int64_t count_all = 0;
  for (const SourceConfig& source : sources) count_all += PathCount(source);
  Plan plan{.what = fmt::format("import {} sources of {} classes as {}x{} frames", count_all,
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
  PathReader paths_over;
  const auto add = [&](const SourceConfig& source, int64_t path) {
    if (scope.StopRequested()) scope.SaveCheckpoint(save);
    const std::string saved = SavedFrames(clips.size());
    ClipSource clip;
    if (checkpoint && checkpoint->Has(saved)) {
      clip.frames = checkpoint->Read(saved);
    } else {
      clip.frames = Moves(source) ? paths_over.Read(scope, config, source, path)
                                  : ReadFrames(scope, config, source);
    }
    const int64_t count = clip.frames.shape()[0];
    clip.name = fs::path(source.file).filename();
    if (source.motion.paths > 0) clip.name += fmt::format("#{}", path);
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
  };
  for (const SourceConfig& source : sources) {
    for (int64_t path = 0; path < PathCount(source); ++path) add(source, path);
  }
  const ClipDataset dataset(classes, std::move(clips), config.clip_frames);
  TensorWriter writer = scope.NewFile(EncodingType::kDataset);
  dataset.Write(&writer);
  scope.Commit(std::move(writer));
  return {.text = text,
          .json = Json{{"output", scope.Output()}, {"classes", classes}, {"sources", list}}.dump() +
                  "\n",
          .facts = {{"sources", std::to_string(count_all)},
                    {"classes", std::to_string(classes.size())}}};
}

}  // namespace suffice::generate
