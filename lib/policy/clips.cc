// SPDX-License-Identifier: Apache-2.0
#include "lib/policy/clips.h"

#include <algorithm>

#include "lib/base/error.h"
#include "lib/base/philox.h"
#include "lib/policy/samples.h"

namespace suffice {
namespace {

std::string SourcePath(size_t index) { return fmt::format("/sources/{}", index); }

FrameRange ReadRange(const TensorReader& reader, const std::string& object, const std::string& name,
                     int64_t frames) {
  const auto values = reader.IntListAttribute(object, name);
  if (!values || values->size() != 2 || (*values)[0] < 0 || (*values)[0] > (*values)[1] ||
      (*values)[1] > frames) {
    throw DataError("{}: {}: attribute {}: not a range of its {} frames", reader.path(), object,
                    name, frames);
  }
  return {(*values)[0], (*values)[1]};
}

// Below `count`, from 32 random bits; the bias is below 2^-32 count.
int64_t Below(uint32_t bits, int64_t count) {
  return static_cast<int64_t>(uint64_t{bits} * static_cast<uint64_t>(count) >> 32);
}

}  // namespace

ClipDataset::ClipDataset(std::vector<std::string> classes, std::vector<ClipSource> sources,
                         int64_t clip_frames)
    : classes_(std::move(classes)), sources_(std::move(sources)), clip_frames_(clip_frames) {}

ClipDataset ClipDataset::Read(const std::string& path) {
  const TensorReader reader(path);
  const EncodingType type = reader.header().encoding_type;
  if (type == EncodingType::kSamples) return FromSamples(reader);
  if (type != EncodingType::kDataset)
    throw DataError("{}: encoding-type {}, dataset or samples wanted", path, NameOf(type));
  std::vector<std::string> classes = reader.ReadStrings("/classes");
  const int64_t clip_frames = reader.IntAttribute("/", "clip-frames").value_or(0);
  if (clip_frames < 1) throw DataError("{}: attribute clip-frames: missing or not positive", path);
  std::vector<ClipSource> sources;
  for (size_t n = 0; reader.HasGroup(SourcePath(n)); ++n) {
    const std::string object = SourcePath(n);
    ClipSource source;
    const DatasetInfo& info =
        reader.Require(object + "/frames", DType::kU8, {-1, -1, -1, 3}, "a dataset");
    source.name = reader.StringAttribute(object, "name").value_or("");
    source.label = reader.IntAttribute(object, "class").value_or(-1);
    source.fps = reader.FloatAttribute(object, "fps").value_or(0);
    source.sha256 = reader.StringAttribute(object, "sha256").value_or("");
    if (source.label < 0 || source.label >= static_cast<int64_t>(classes.size())) {
      throw DataError("{}: {}: class {}, there are {}", path, object, source.label, classes.size());
    }
    source.train = ReadRange(reader, object, "train", info.shape[0]);
    source.held_out = ReadRange(reader, object, "held-out", info.shape[0]);
    const bool apart = source.train.size() == 0 || source.held_out.size() == 0 ||
                       source.train.end + clip_frames <= source.held_out.begin ||
                       source.held_out.end + clip_frames <= source.train.begin;
    if (!apart) {
      throw DataError("{}: {}: train [{}, {}) and held-out [{}, {}): a gap of {} frames is wanted",
                      path, object, source.train.begin, source.train.end, source.held_out.begin,
                      source.held_out.end, clip_frames);
    }
    source.frames = reader.Read(object + "/frames");
    sources.push_back(std::move(source));
  }
  if (sources.empty()) throw DataError("{}: no /sources/0: an empty dataset", path);
  return {std::move(classes), std::move(sources), clip_frames};
}

ClipDataset ClipDataset::FromSamples(const TensorReader& file) {
  const Shape shape = RequireVideos(file);
  VideoLabels labels = ReadVideoLabels(file);
  std::vector<ClipSource> sources;
  for (int64_t i = 0; i < shape[0]; ++i) {
    ClipSource source;
    source.name = fmt::format("sample {}", i);
    source.label = labels.labels[static_cast<size_t>(i)];
    if (source.label < 0) {
      throw DataError("{}: video {}: has no label, and only labelled samples can be learned",
                      file.path(), i);
    }
    source.train = {0, shape[2]};
    source.held_out = {shape[2], shape[2]};
    source.fps = file.FloatAttribute("/", "fps").value_or(0);
    source.frames = ToFrames(ReadVideo(file, i));
    sources.push_back(std::move(source));
  }
  return {std::move(labels.classes), std::move(sources), shape[2]};
}

void ClipDataset::Write(TensorWriter* writer) const {
  writer->Attribute("/", "clip-frames", clip_frames_);
  writer->Strings("/classes", classes_);
  for (size_t n = 0; n < sources_.size(); ++n) {
    const ClipSource& source = sources_[n];
    const std::string object = SourcePath(n);
    writer->Dataset(
        object + "/frames", source.frames,
        {.storage = Storage::kPacked, .dims = {"frame", "row", "column", "channel"}, .dtype = {}});
    writer->Attribute(object, "name", source.name);
    writer->Attribute(object, "class", source.label);
    writer->Attribute(object, "fps", source.fps);
    writer->Attribute(object, "sha256", source.sha256);
    writer->Attribute(object, "train", std::vector<int64_t>{source.train.begin, source.train.end});
    writer->Attribute(object, "held-out",
                      std::vector<int64_t>{source.held_out.begin, source.held_out.end});
  }
}

void ClipDataset::RequireShape(const ClipShape& shape, bool held_out,
                               const std::string& path) const {
  if (shape.frames > clip_frames_) {
    throw UsageError("{}: its splits are made for clips of {} frames, the model wants {}", path,
                     clip_frames_, shape.frames);
  }
  for (const ClipSource& source : sources_) {
    const Shape& frames = source.frames.shape();
    if (frames[1] < shape.height || frames[2] < shape.width) {
      throw UsageError("{}: source '{}': frames of {}x{}, the model wants {}x{}", path, source.name,
                       frames[2], frames[1], shape.width, shape.height);
    }
  }
  const bool any = std::any_of(sources_.begin(), sources_.end(), [&](const ClipSource& source) {
    return (held_out ? source.held_out : source.train).size() >= shape.frames;
  });
  if (!any) {
    throw UsageError("{}: no {} range holds {} frames", path, held_out ? "held-out" : "training",
                     shape.frames);
  }
}

ClipDraw ClipDataset::Draw(const ClipShape& shape, bool held_out, bool flips, uint64_t seed,
                           uint64_t index) const {
  const auto starts = [&](const ClipSource& source) {
    return std::max<int64_t>(0,
                             (held_out ? source.held_out : source.train).size() - shape.frames + 1);
  };
  int64_t total = 0;
  for (const ClipSource& source : sources_) total += starts(source);
  SUFFICE_CHECK(total > 0);
  const auto stream = static_cast<uint32_t>(Stream::kData) + (held_out ? 0x100u : 0u);
  const std::array<uint32_t, 4> bits = Philox(seed, stream, index);
  int64_t place = Below(bits[0], total);
  size_t n = 0;
  while (place >= starts(sources_[n])) place -= starts(sources_[n++]);
  const ClipSource& source = sources_[n];
  const Shape& frames = source.frames.shape();
  ClipDraw draw;
  draw.source = static_cast<int32_t>(n);
  draw.start = static_cast<int32_t>((held_out ? source.held_out : source.train).begin + place);
  draw.y = static_cast<int32_t>(Below(bits[1], frames[1] - shape.height + 1));
  draw.x = static_cast<int32_t>(Below(bits[2], frames[2] - shape.width + 1));
  draw.flip = flips && (bits[3] & 1) != 0;
  draw.label = source.label;
  return draw;
}

HostArray ClipDataset::Clip(const ClipDraw& draw, const ClipShape& shape) const {
  const ClipSource& source = sources_.at(static_cast<size_t>(draw.source));
  const Shape& frames = source.frames.shape();
  const uint8_t* pixels = source.frames.values<uint8_t>().data();
  HostArray clip(DType::kF32, {3, shape.frames, shape.height, shape.width});
  float* out = clip.values<float>().data();
  for (int64_t c = 0; c < 3; ++c) {
    for (int64_t f = 0; f < shape.frames; ++f) {
      for (int64_t y = 0; y < shape.height; ++y) {
        const int64_t row = ((draw.start + f) * frames[1] + draw.y + y) * frames[2] + draw.x;
        for (int64_t x = 0; x < shape.width; ++x) {
          const int64_t column = draw.flip ? shape.width - 1 - x : x;
          *out++ = static_cast<float>(pixels[(row + column) * 3 + c]) / 127.5f - 1.0f;
        }
      }
    }
  }
  return clip;
}

}  // namespace suffice
