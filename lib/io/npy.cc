// SPDX-License-Identifier: Apache-2.0
#include "lib/io/npy.h"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string_view>

#include "lib/base/error.h"
#include "lib/io/atomic_file.h"

namespace suffice {
namespace {

constexpr std::string_view kMagic = "\x93NUMPY";
constexpr size_t kMaxHeaderBytes = 1 << 16;

struct TypeEntry {
  std::string_view descr;
  DType dtype;
};
// The first entry of a DType is the one that is written.
constexpr std::array<TypeEntry, 15> kTypes = {{{"<f4", DType::kF32},
                                               {"<f8", DType::kF64},
                                               {"<f2", DType::kF16},
                                               {"|i1", DType::kI8},
                                               {"<i2", DType::kI16},
                                               {"<i4", DType::kI32},
                                               {"<i8", DType::kI64},
                                               {"|u1", DType::kU8},
                                               {"<u2", DType::kU16},
                                               {"<u4", DType::kU32},
                                               {"<u8", DType::kU64},
                                               {"|b1", DType::kU8},
                                               {"<i1", DType::kI8},
                                               {"<u1", DType::kU8},
                                               {"<b1", DType::kU8}}};

// The header is a Python dictionary literal with exactly three keys:
//   {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }
class HeaderParser {
 public:
  HeaderParser(std::string_view text, const std::string& path) : text_(text), path_(path) {}

  void Parse(DType& dtype, Shape& shape) {
    int fields = 0;
    Expect('{');
    while (!Accept('}')) {
      const std::string_view key = Quoted();
      Expect(':');
      if (key == "descr") {
        dtype = Type(Quoted());
        fields |= 1;
      } else if (key == "fortran_order") {
        if (AcceptWord("True")) throw DataError("{}: is in Fortran order, C order wanted", path_);
        if (!AcceptWord("False")) Fail();
        fields |= 2;
      } else if (key == "shape") {
        shape = Extents();
        fields |= 4;
      } else {
        Fail();
      }
      if (!Accept(',') && !Peek('}')) Fail();
    }
    SkipSpace();
    if (fields != 7 || at_ != text_.size()) Fail();
  }

 private:
  [[noreturn]] void Fail() const {
    throw DataError("{}: not an npy header at its byte {}", path_, at_);
  }
  void SkipSpace() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n')) ++at_;
  }
  bool Peek(char c) {
    SkipSpace();
    return at_ < text_.size() && text_[at_] == c;
  }
  bool Accept(char c) {
    if (!Peek(c)) return false;
    ++at_;
    return true;
  }
  void Expect(char c) {
    if (!Accept(c)) Fail();
  }
  bool AcceptWord(std::string_view word) {
    SkipSpace();
    if (!text_.substr(at_).starts_with(word)) return false;
    at_ += word.size();
    return true;
  }
  std::string_view Quoted() {
    const char quote = Peek('"') ? '"' : '\'';
    Expect(quote);
    const size_t end = text_.find(quote, at_);
    if (end == std::string_view::npos) Fail();
    const std::string_view value = text_.substr(at_, end - at_);
    at_ = end + 1;
    return value;
  }
  DType Type(std::string_view descr) const {
    for (const TypeEntry& entry : kTypes) {
      if (entry.descr == descr) return entry.dtype;
    }
    throw DataError("{}: element type '{}' is none of ours", path_, descr);
  }
  Shape Extents() {
    Shape shape;
    Expect('(');
    while (!Accept(')')) {
      if (shape.rank == kMaxRank) throw DataError("{}: rank above {}", path_, kMaxRank);
      SkipSpace();
      int64_t extent = -1;
      const char* end = text_.data() + text_.size();
      const auto [stop, error] = std::from_chars(text_.data() + at_, end, extent);
      if (error != std::errc() || extent < 0) Fail();
      at_ = static_cast<size_t>(stop - text_.data());
      shape[shape.rank++] = extent;
      if (!Accept(',') && !Peek(')')) Fail();
    }
    return shape;
  }

  std::string_view text_;
  const std::string& path_;
  size_t at_ = 0;
};

void ReadExactly(std::FILE* file, void* out, size_t bytes, const std::string& path) {
  if (std::fread(out, 1, bytes, file) != bytes) throw DataError("{}: truncated", path);
}

}  // namespace

HostArray ReadNpy(const std::string& path) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"),
                                                             &std::fclose);
  struct stat info = {};
  if (!file || fstat(fileno(file.get()), &info) != 0) {
    throw DataError("{}: {}", path, std::strerror(errno));
  }
  if (!S_ISREG(info.st_mode)) throw DataError("{}: not a regular file", path);
  unsigned char start[12] = {};
  ReadExactly(file.get(), start, 10, path);
  if (std::memcmp(start, kMagic.data(), kMagic.size()) != 0) {
    throw DataError("{}: not an npy file", path);
  }
  const int major = start[6];
  if (major < 1 || major > 3 || start[7] != 0) {
    throw DataError("{}: npy version {}.{}, versions 1.0 to 3.0 are read", path, major, start[7]);
  }
  size_t header_bytes = static_cast<size_t>(start[8]) | static_cast<size_t>(start[9]) << 8;
  size_t before_data = 10;
  if (major > 1) {
    ReadExactly(file.get(), start + 10, 2, path);
    header_bytes |= static_cast<size_t>(start[10]) << 16 | static_cast<size_t>(start[11]) << 24;
    before_data = 12;
  }
  if (header_bytes > kMaxHeaderBytes) {
    throw DataError("{}: a header of {} bytes", path, header_bytes);
  }
  std::string header(header_bytes, '\0');
  ReadExactly(file.get(), header.data(), header_bytes, path);
  DType dtype = DType::kF32;
  Shape shape;
  HeaderParser(header, path).Parse(dtype, shape);
  unsigned __int128 bytes = SizeOf(dtype);
  bool zero = false;
  for (int i = 0; i < shape.rank; ++i) {
    zero = zero || shape[i] == 0;
    bytes *= static_cast<uint64_t>(std::max<int64_t>(shape[i], 1));
    if (bytes > INT64_MAX) throw DataError("{}: shape {} overflows", path, ToString(shape));
  }
  if (zero) bytes = 0;
  const uint64_t found = static_cast<uint64_t>(info.st_size) - before_data - header_bytes;
  if (bytes != found) {
    throw DataError("{}: {} bytes of data, its shape {} needs {}", path, found, ToString(shape),
                    static_cast<uint64_t>(bytes));
  }
  HostArray array(dtype, shape);
  ReadExactly(file.get(), array.data(), array.bytes(), path);
  return array;
}

void WriteNpy(const std::string& path, const HostArray& array, bool force) {
  std::string_view descr;
  for (size_t i = kTypes.size(); i-- > 0;) {
    if (kTypes[i].dtype == array.dtype()) descr = kTypes[i].descr;
  }
  if (descr.empty()) throw UsageError("{}: npy has no type for {}", path, NameOf(array.dtype()));
  std::string shape;
  for (int i = 0; i < array.shape().rank; ++i) {
    shape += fmt::format("{}{}", i > 0 ? ", " : "", array.shape()[i]);
  }
  if (array.shape().rank == 1) shape += ",";
  std::string header =
      fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': ({}), }}", descr, shape);
  header.append(63 - (10 + header.size()) % 64, ' ');  // data begin at a multiple of 64
  header += '\n';
  AtomicFile file(path, force);
  const char start[4] = {1, 0, static_cast<char>(header.size() & 0xFF),
                         static_cast<char>(header.size() >> 8)};
  file.Write(kMagic);
  file.Write(start, sizeof(start));
  file.Write(header);
  file.Write(array.data(), array.bytes());
  file.Commit();
}

}  // namespace suffice
