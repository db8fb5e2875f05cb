// SPDX-License-Identifier: Apache-2.0
#include "lib/io/ffmpeg.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <vector>

#include "lib/base/error.h"
#include "lib/io/atomic_file.h"
#include "lib/io/child_process.h"
#include "lib/io/gzip.h"

namespace suffice {
namespace {

constexpr char kPackage[] = "ffmpeg";

std::vector<std::string> Program() { return {"ffmpeg", "-nostdin", "-hide_banner", "-v", "error"}; }

void CheckReadable(const std::string& path) {
  struct stat info = {};
  if (stat(path.c_str(), &info) != 0) throw DataError("{}: {}", path, std::strerror(errno));
  if (!S_ISREG(info.st_mode)) throw DataError("{}: not a regular file", path);
  if (access(path.c_str(), R_OK) != 0) throw DataError("{}: {}", path, std::strerror(errno));
}

std::string Filters(const VideoOptions& options) {
  std::string filters;
  const auto add = [&](const std::string& filter) {
    filters += (filters.empty() ? "" : ",") + filter;
  };
  if (options.fps > 0) add(fmt::format("fps={}", options.fps));
  if (options.stride > 1) add(fmt::format("select='not(mod(n\\,{}))'", options.stride));
  if (options.crop_width > 0) {
    add(fmt::format("crop={}:{}:{}:{}:exact=1", options.crop_width, options.crop_height,
                    options.crop_x, options.crop_y));
  }
  if (options.width > 0) {
    add(
        fmt::format("scale={0}:{1}:force_original_aspect_ratio=increase:flags=bicubic+accurate_rnd+"
                    "full_chroma_int+full_chroma_inp+bitexact,crop={0}:{1}",
                    options.width, options.height));
  }
  return filters.empty() ? "null" : filters;
}

// A line of a binary PPM's header.
bool ReadLine(std::FILE* in, std::string& line) {
  line.clear();
  for (int c = 0; (c = std::getc(in)) != EOF && line.size() < 64;) {
    if (c == '\n') return true;
    line += static_cast<char>(c);
  }
  return false;
}

}  // namespace

struct VideoReader::Impl {
  std::string path;
  UniqueFd unpacked;
  std::unique_ptr<ChildProcess> child;
  std::FILE* frames = nullptr;
  int64_t count = 0;
  int width = 0;
  int height = 0;

  ~Impl() {
    child.reset();  // closes the pipe's descriptor, which `frames` has a duplicate of
    if (frames != nullptr) std::fclose(frames);
  }
  void Finish();
};

VideoReader::VideoReader(const std::string& path, const VideoOptions& options)
    : impl_(std::make_unique<Impl>()) {
  SUFFICE_CHECK(options.stride >= 1 && (options.width > 0) == (options.height > 0));
  CheckReadable(path);
  impl_->path = path;
  std::vector<std::string> argv = Program();
  const auto add = [&](std::initializer_list<std::string> words) {
    argv.insert(argv.end(), words);
  };
  // A name like http: or concat: is a file's name to us, and a playlist reaches no further.
  add({"-protocol_whitelist", "file,crypto,data", "-xerror"});
  if (options.start_seconds > 0) add({"-ss", fmt::format("{}", options.start_seconds)});
  ChildWiring wiring{.feed = false, .drain = true, .extra_fd = -1};
  if (path.ends_with(".gz")) {
    impl_->unpacked = GunzipToTemporary(path);
    wiring.extra_fd = impl_->unpacked.get();
    add({"-i", "file:/dev/fd/3"});
  } else {
    add({"-i", "file:" + path});
  }
  add({"-map", "0:v:0", "-vf", Filters(options), "-fps_mode", "passthrough"});
  if (options.max_frames > 0) add({"-frames:v", std::to_string(options.max_frames)});
  // Each PPM says its own size: nobody has to ask ffprobe first.
  add({"-f", "image2pipe", "-c:v", "ppm", "-pix_fmt", "rgb24", "-"});
  impl_->child = std::make_unique<ChildProcess>(argv, kPackage, wiring);
  impl_->frames = fdopen(dup(impl_->child->out_fd()), "rb");
  if (impl_->frames == nullptr) throw ErrnoError(path, "cannot be read through a pipe");
}

VideoReader::~VideoReader() = default;
VideoReader::VideoReader(VideoReader&&) noexcept = default;

void VideoReader::Impl::Finish() {
  if (!child) return;
  const int status = child->Wait();
  const std::string reason = child->LastErrorLine();
  child.reset();
  if (status != 0) throw DataError("{}: ffmpeg cannot read it: {}", path, reason);
  if (count == 0) throw DataError("{}: has no frame to read", path);
}

std::optional<Picture> VideoReader::Next() {
  std::string magic;
  std::string size;
  std::string depth;
  if (!impl_->child || !ReadLine(impl_->frames, magic)) {
    impl_->Finish();
    return std::nullopt;
  }
  Picture picture;
  picture.channels = 3;
  bool understood = magic == "P6" && ReadLine(impl_->frames, size) &&
                    ReadLine(impl_->frames, depth) && depth == "255";
  const size_t space = size.find(' ');
  understood = understood && space != std::string::npos;
  if (understood) {
    const char* end = size.data() + size.size();
    understood =
        std::from_chars(size.data(), size.data() + space, picture.width).ec == std::errc() &&
        std::from_chars(size.data() + space + 1, end, picture.height).ec == std::errc() &&
        picture.width > 0 && picture.height > 0;
  }
  if (!understood) throw DataError("{}: ffmpeg gave no PPM frames", impl_->path);
  if (picture.width > kMaxPictureSide || picture.height > kMaxPictureSide) {
    throw DataError("{}: {} x {} pixels, sides of at most {} are read", impl_->path, picture.width,
                    picture.height, kMaxPictureSide);
  }
  if (impl_->count == 0) {
    impl_->width = picture.width;
    impl_->height = picture.height;
  }
  if (picture.width != impl_->width || picture.height != impl_->height) {
    throw DataError("{}: frame {} has {} x {} pixels, the first had {} x {}", impl_->path,
                    impl_->count, picture.width, picture.height, impl_->width, impl_->height);
  }
  picture.pixels.resize(static_cast<size_t>(picture.width) * static_cast<size_t>(picture.height) *
                        3);
  if (std::fread(picture.pixels.data(), 1, picture.pixels.size(), impl_->frames) !=
      picture.pixels.size()) {
    impl_->Finish();
    throw DataError("{}: ffmpeg ended inside a frame", impl_->path);
  }
  ++impl_->count;
  return picture;
}

struct VideoWriter::Impl {
  AtomicFile output;
  size_t frame_bytes;
  std::unique_ptr<ChildProcess> child;
  Impl(const std::string& path, bool force, size_t bytes)
      : output(path, force), frame_bytes(bytes) {}

  [[noreturn]] void Fail() {
    child->CloseFeed();
    child->Wait();
    throw RunError("{}: ffmpeg cannot write it: {}", output.path(), child->LastErrorLine());
  }
};

VideoWriter::VideoWriter(const std::string& path, int width, int height, FrameRate rate, bool force,
                         int crf)
    : impl_(std::make_unique<Impl>(path, force,
                                   static_cast<size_t>(width) * static_cast<size_t>(height) * 3)) {
  SUFFICE_CHECK(width > 0 && height > 0 && rate.numerator > 0 && rate.denominator > 0);
  const bool even = width % 2 == 0 && height % 2 == 0;
  std::vector<std::string> argv = Program();
  // One thread and bitexact: the bytes depend on nothing but the frames.
  for (const std::string& word : std::initializer_list<std::string>{
           "-f",
           "rawvideo",
           "-pix_fmt",
           "rgb24",
           "-s",
           fmt::format("{}x{}", width, height),
           "-r",
           fmt::format("{}/{}", rate.numerator, rate.denominator),
           "-i",
           "pipe:0",
           "-vf",
           "scale=out_color_matrix=bt709:out_range=tv:flags=bicubic+accurate_rnd+bitexact",
           "-c:v",
           "libx264",
           "-threads",
           "1",
           "-preset",
           "medium",
           "-crf",
           std::to_string(crf),
           "-pix_fmt",
           even ? "yuv420p" : "yuv444p",
           "-colorspace",
           "bt709",
           "-color_primaries",
           "bt709",
           "-color_trc",
           "bt709",
           "-color_range",
           "tv",
           "-fflags",
           "+bitexact",
           "-flags:v",
           "+bitexact",
           "-map_metadata",
           "-1",
           "-movflags",
           "+faststart",
           "-f",
           "mp4",
           "-y",
           "file:" + impl_->output.temporary()}) {
    argv.push_back(word);
  }
  impl_->child = std::make_unique<ChildProcess>(
      argv, kPackage, ChildWiring{.feed = true, .drain = false, .extra_fd = -1});
}

VideoWriter::~VideoWriter() = default;

void VideoWriter::WriteFrame(std::span<const uint8_t> rgb) {
  SUFFICE_CHECK(rgb.size() == impl_->frame_bytes);
  if (!impl_->child->Feed(rgb.data(), rgb.size())) impl_->Fail();
}

void VideoWriter::Commit() {
  impl_->child->CloseFeed();
  if (impl_->child->Wait() != 0) {
    throw RunError("{}: ffmpeg cannot write it: {}", impl_->output.path(),
                   impl_->child->LastErrorLine());
  }
  impl_->output.Commit();
}

}  // namespace suffice
