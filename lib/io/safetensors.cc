// SPDX-License-Identifier: Apache-2.0
#include "lib/io/safetensors.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <set>
#include <tuple>
#include <utility>

#include "lib/base/error.h"
#include "lib/io/atomic_file.h"
#include "lib/io/tensor_types.h"
#include "lib/io/text_file.h"

namespace suffice {
namespace {

constexpr uint64_t kMaxHeaderBytes = 100000000;
constexpr uint64_t kMaxIndexBytes = uint64_t{64} << 20;

struct TypeEntry {
  std::string_view name;
  DType dtype;
};
// The first entry of a DType is the one that is written.
constexpr std::array<TypeEntry, 15> kTypes = {{{"F64", DType::kF64},
                                               {"F32", DType::kF32},
                                               {"F16", DType::kF16},
                                               {"BF16", DType::kBF16},
                                               {"I64", DType::kI64},
                                               {"I32", DType::kI32},
                                               {"I16", DType::kI16},
                                               {"I8", DType::kI8},
                                               {"U64", DType::kU64},
                                               {"U32", DType::kU32},
                                               {"U16", DType::kU16},
                                               {"U8", DType::kU8},
                                               {"BOOL", DType::kU8},
                                               {"F8_E4M3", DType::kU8},
                                               {"F8_E5M2", DType::kU8}}};

std::string_view TypeName(DType dtype) {
  return std::find_if(kTypes.begin(), kTypes.end(),
                      [&](const TypeEntry& entry) { return entry.dtype == dtype; })
      ->name;
}

// Takes the header as the parser meets it and accepts nothing but its one form:
//   {"__metadata__": {KEY: STRING...}, NAME: {"dtype": STRING, "shape": [N...], "data_offsets": [N,
//   N]}...}
// A callback that returns false ends the parse; problem() says why.
class HeaderParser : public nlohmann::json_sax<nlohmann::json> {
 public:
  std::vector<SafetensorInfo> tensors;
  std::map<std::string, std::string> metadata;
  const std::string& problem() const { return problem_; }

  bool null() override { return Fail("has a null"); }
  bool boolean(bool) override { return Fail("has a boolean"); }
  bool number_integer(number_integer_t) override { return Fail("has a negative number"); }
  bool number_float(number_float_t, const string_t&) override { return Fail("has a fraction"); }
  bool binary(binary_t&) override { return Fail("has binary data"); }

  bool number_unsigned(number_unsigned_t value) override {
    if (state_ == State::kShape) {
      if (value > INT64_MAX) return Fail("an extent is too large");
      if (current_.shape.rank == kMaxRank) return Fail(fmt::format("rank above {}", kMaxRank));
      current_.shape[current_.shape.rank++] = static_cast<int64_t>(value);
      return true;
    }
    if (state_ == State::kOffsets) {
      if (offsets_ == 2) return Fail("data_offsets has more than two numbers");
      (offsets_++ == 0 ? current_.begin : current_.end) = value;
      return true;
    }
    return Fail("has a number in the wrong place");
  }

  bool string(string_t& value) override {
    if (state_ == State::kMetadata) {
      metadata[key_] = value;
      return true;
    }
    if (state_ == State::kTensor && key_ == "dtype") {
      current_.type = value;
      return true;
    }
    return Fail("has a string in the wrong place");
  }

  bool start_object(size_t) override {
    if (state_ == State::kStart) return Enter(State::kTop);
    if (state_ != State::kTop) return Fail("has an object in the wrong place");
    if (key_ == "__metadata__") return Enter(State::kMetadata);
    current_ = {};
    current_.name = key_;
    seen_fields_.clear();
    offsets_ = 0;
    if (const auto wrong = NameProblem(key_)) return Fail("its name " + *wrong);
    if (tensors.size() == kMaxObjects) return Fail("too many tensors");
    return Enter(State::kTensor);
  }

  bool key(string_t& name) override {
    key_ = name;
    if (state_ == State::kTop) {
      current_.name = name;
      return names_.insert(name).second || Fail("is there twice");
    }
    if (state_ == State::kMetadata) {
      return !metadata.contains(name) || Fail("__metadata__ has '" + name + "' twice");
    }
    if (name != "dtype" && name != "shape" && name != "data_offsets") {
      return Fail("has an unknown key '" + name + "'");
    }
    return seen_fields_.insert(name).second || Fail("has '" + name + "' twice");
  }

  bool end_object() override {
    if (state_ == State::kTensor) {
      if (seen_fields_.size() != 3) return Fail("lacks one of dtype, shape, data_offsets");
      if (offsets_ != 2) return Fail("data_offsets has fewer than two numbers");
      tensors.push_back(current_);
    }
    state_ = state_ == State::kTop ? State::kStart : State::kTop;
    return true;
  }

  bool start_array(size_t) override {
    if (state_ == State::kTensor && key_ == "shape") return Enter(State::kShape);
    if (state_ == State::kTensor && key_ == "data_offsets") return Enter(State::kOffsets);
    return Fail("has an array in the wrong place");
  }
  bool end_array() override { return Enter(State::kTensor); }

  bool parse_error(size_t position, const std::string&,
                   const nlohmann::detail::exception&) override {
    current_.name.clear();
    return Fail(fmt::format("is not JSON at byte {}", position));
  }

 private:
  enum class State { kStart, kTop, kMetadata, kTensor, kShape, kOffsets };

  bool Enter(State state) {
    state_ = state;
    return true;
  }
  bool Fail(const std::string& what) {
    problem_ = (current_.name.empty() || NameProblem(current_.name) ? "header" : current_.name) +
               ": " + what;
    return false;
  }

  State state_ = State::kStart;
  std::string key_;
  std::set<std::string> names_;
  std::set<std::string> seen_fields_;
  SafetensorInfo current_;
  int offsets_ = 0;
  std::string problem_;
};

void ReadAt(int fd, void* out, uint64_t bytes, uint64_t offset, const std::string& path) {
  char* next = static_cast<char*>(out);
  while (bytes > 0) {
    const ssize_t got = pread(fd, next, bytes, static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw DataError("{}: {}", path, std::strerror(errno));
    if (got == 0) throw DataError("{}: became shorter while it was read", path);
    next += got;
    offset += static_cast<uint64_t>(got);
    bytes -= static_cast<uint64_t>(got);
  }
}

// Type, shape and range agree, and the ranges tile the data without holes.
void CheckTensors(const std::string& path, std::vector<SafetensorInfo>& tensors,
                  uint64_t data_bytes) {
  std::sort(tensors.begin(), tensors.end(), [](const SafetensorInfo& a, const SafetensorInfo& b) {
    return std::tie(a.begin, a.end) < std::tie(b.begin, b.end);
  });
  uint64_t at = 0;
  for (SafetensorInfo& tensor : tensors) {
    const std::string where = path + ": " + tensor.name;
    const auto type = std::find_if(kTypes.begin(), kTypes.end(), [&](const TypeEntry& entry) {
      return entry.name == tensor.type;
    });
    if (type == kTypes.end()) throw DataError("{}: type '{}' is none of ours", where, tensor.type);
    tensor.dtype = type->dtype;
    unsigned __int128 bytes = SizeOf(tensor.dtype);
    bool zero = false;
    for (int i = 0; i < tensor.shape.rank; ++i) {
      zero = zero || tensor.shape[i] == 0;
      bytes *= static_cast<uint64_t>(std::max<int64_t>(tensor.shape[i], 1));
      if (bytes > INT64_MAX)
        throw DataError("{}: shape {} overflows", where, ToString(tensor.shape));
    }
    if (zero) bytes = 0;
    if (tensor.begin != at) {
      throw DataError("{}: its data begin at {}, {} wanted: a hole or an overlap", where,
                      tensor.begin, at);
    }
    if (tensor.end < tensor.begin || tensor.end - tensor.begin != static_cast<uint64_t>(bytes)) {
      throw DataError("{}: bytes {} to {} do not fit {} {}", where, tensor.begin, tensor.end,
                      tensor.type, ToString(tensor.shape));
    }
    if (tensor.end > data_bytes) throw DataError("{}: its data end past the file's end", where);
    at = tensor.end;
  }
  if (at != data_bytes)
    throw DataError("{}: {} bytes after the last tensor", path, data_bytes - at);
}

}  // namespace

SafetensorsReader::SafetensorsReader(const std::string& path) : path_(path) {
  struct stat info = {};
  if (stat(path.c_str(), &info) != 0) throw DataError("{}: {}", path, std::strerror(errno));
  if (!S_ISREG(info.st_mode)) throw DataError("{}: not a regular file", path);
  const auto file_bytes = static_cast<uint64_t>(info.st_size);
  if (file_bytes < 8) throw DataError("{}: too short for a safetensors file", path);
  fd_ = UniqueFd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd_.valid()) throw DataError("{}: {}", path, std::strerror(errno));
  unsigned char length[8];
  ReadAt(fd_.get(), length, sizeof(length), 0, path);
  uint64_t header_bytes = 0;
  for (size_t i = 8; i-- > 0;) header_bytes = header_bytes << 8 | length[i];
  if (header_bytes > kMaxHeaderBytes || header_bytes > file_bytes - 8) {
    throw DataError("{}: a header of {} bytes in a file of {}", path, header_bytes, file_bytes);
  }
  std::string header(header_bytes, '\0');
  ReadAt(fd_.get(), header.data(), header_bytes, 8, path);
  if (!header.starts_with('{')) throw DataError("{}: not a safetensors file", path);
  HeaderParser parser;
  if (!nlohmann::json::sax_parse(header, &parser)) {
    throw DataError("{}: {}", path, parser.problem());
  }
  tensors_ = std::move(parser.tensors);
  metadata_ = std::move(parser.metadata);
  CheckTensors(path, tensors_, file_bytes - 8 - header_bytes);
  for (SafetensorInfo& tensor : tensors_) {
    tensor.begin += 8 + header_bytes;
    tensor.end += 8 + header_bytes;
  }
  std::sort(tensors_.begin(), tensors_.end(),
            [](const SafetensorInfo& a, const SafetensorInfo& b) { return a.name < b.name; });
}

bool SafetensorsReader::Has(std::string_view name) const {
  const auto found =
      std::lower_bound(tensors_.begin(), tensors_.end(), name,
                       [](const SafetensorInfo& a, std::string_view b) { return a.name < b; });
  return found != tensors_.end() && found->name == name;
}

const SafetensorInfo& SafetensorsReader::Info(std::string_view name) const {
  const auto found =
      std::lower_bound(tensors_.begin(), tensors_.end(), name,
                       [](const SafetensorInfo& a, std::string_view b) { return a.name < b; });
  if (found == tensors_.end() || found->name != name) {
    throw DataError("{}: {}: is missing", path_, name);
  }
  return *found;
}

HostArray SafetensorsReader::Read(std::string_view name) const {
  const SafetensorInfo& info = Info(name);
  HostArray array(info.dtype, info.shape);
  ReadAt(fd_.get(), array.data(), array.bytes(), info.begin, path_);
  return array;
}

std::map<std::string, std::string> ReadSafetensorsIndex(const std::string& path) {
  const auto index = nlohmann::json::parse(ReadText(path, kMaxIndexBytes), nullptr, false);
  const auto shards = index.is_object() ? index.find("weight_map") : index.end();
  if (!index.is_object() || shards == index.end() || !shards->is_object()) {
    throw DataError("{}: not a shard index: no object weight_map", path);
  }
  const size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "" : path.substr(0, slash + 1);
  std::map<std::string, std::string> files;
  for (const auto& [name, shard] : shards->items()) {
    if (!shard.is_string()) throw DataError("{}: {}: its shard is not a string", path, name);
    const auto file = shard.get<std::string>();
    if (const auto problem = NameProblem(file)) {
      throw DataError("{}: {}: the shard's file name {}", path, name, *problem);
    }
    files.emplace(name, folder + file);
  }
  return files;
}

struct SafetensorsWriter::Impl {
  struct Place {
    SafetensorSpec spec;
    uint64_t begin;
    bool written = false;
  };
  AtomicFile output;
  std::map<std::string, Place> places;
  Impl(const std::string& path, bool force) : output(path, force) {}
};

SafetensorsWriter::SafetensorsWriter(const std::string& path, std::vector<SafetensorSpec> tensors,
                                     const std::map<std::string, std::string>& metadata, bool force)
    : impl_(std::make_unique<Impl>(path, force)) {
  std::sort(tensors.begin(), tensors.end(), [](const SafetensorSpec& a, const SafetensorSpec& b) {
    const size_t wide_a = SizeOf(a.dtype);
    const size_t wide_b = SizeOf(b.dtype);
    return std::tie(wide_b, a.name) < std::tie(wide_a, b.name);
  });
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  uint64_t at = 0;
  for (const SafetensorSpec& spec : tensors) {
    if (const auto problem = NameProblem(spec.name)) {
      throw RunError("{}: '{}': its name {}", path, spec.name, *problem);
    }
    const uint64_t bytes = static_cast<uint64_t>(spec.shape.elements()) * SizeOf(spec.dtype);
    const std::vector<int64_t> extents(spec.shape.dims.begin(),
                                       spec.shape.dims.begin() + spec.shape.rank);
    header[spec.name] = {
        {"dtype", TypeName(spec.dtype)}, {"shape", extents}, {"data_offsets", {at, at + bytes}}};
    SUFFICE_CHECK(impl_->places.emplace(spec.name, Impl::Place{spec, at}).second);
    at += bytes;
  }
  std::string text = header.dump();
  text.append((8 - text.size() % 8) % 8, ' ');
  unsigned char length[8];
  for (size_t i = 0; i < 8; ++i) length[i] = static_cast<unsigned char>(text.size() >> (8 * i));
  for (auto& [name, place] : impl_->places) place.begin += 8 + text.size();
  impl_->output.Write(length, sizeof(length));
  impl_->output.Write(text);
}

SafetensorsWriter::~SafetensorsWriter() = default;

void SafetensorsWriter::Write(const std::string& name, const HostArray& array) {
  const auto found = impl_->places.find(name);
  SUFFICE_CHECK(found != impl_->places.end() && !found->second.written);
  Impl::Place& place = found->second;
  SUFFICE_CHECK(array.dtype() == place.spec.dtype && array.shape() == place.spec.shape);
  const int fd = impl_->output.fd();
  if (lseek(fd, static_cast<off_t>(place.begin), SEEK_SET) < 0) {
    throw ErrnoError(impl_->output.path(), "cannot be written");
  }
  impl_->output.Write(array.data(), array.bytes());
  place.written = true;
}

void SafetensorsWriter::Commit() {
  for (const auto& [name, place] : impl_->places) SUFFICE_CHECK(place.written);
  impl_->output.Commit();
}

}  // namespace suffice
