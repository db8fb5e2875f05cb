// SPDX-License-Identifier: Apache-2.0
// suffice's tensor files. Everything else in the project reads and writes HDF5 through this header.
// The layout below is also suffice-tensor(5), in the same words.
//
// CONTAINER. HDF5 with the library-version bounds V110: superblock 3 and version 2 object headers,
// so that all metadata carries checksums. Object times are off. Groups track the order in which
// their members were made. There are hard links only, each object has one name, and there are no
// named types, no references, no variable-length types and no compound types. Names are UTF-8 of 1
// to 255 bytes without control characters and '/'; attribute names have no '@' either.
//
// ROOT ATTRIBUTES.
//   format            "suffice-tensor"
//   encoding-type     model, dataset, capture, mask, samples, runs, calibration, checkpoint,
//                     velocities or classifier
//   encoding-version  "MAJOR.MINOR", now 1.0. Another major version is refused; what a later minor
//                     version adds is ignored.
//   producer          the program and its version
//   config            the resolved configuration as YAML, without paths, threads and display
//   config-sha256     the SHA-256 of config, in hexadecimal
//   inputs            list of "ROLE DIGEST": the content digest of each input, sorted
//   seed              integer, when the file depends on one
//   backend           the backend's name and instruction set or architecture, when it depends
//                     on one
//   shard, shard-range
//                     of a shard alone: its number and how many there are, then the first of its
//                     rows, the one after its last and the number of all
//   shard-pairs       of a shard of samples or runs: kept and allowed pairs, one couple a setting
// Wall-clock times, host names, paths, command lines and history are attributes of the group /run,
// receipts are in the group /receipt. Everything outside these two groups is byte-identical for the
// same inputs, seed, build and backend.
//
// ATTRIBUTES are strings, 64-bit integers or 64-bit floats, single or in a list of one dimension.
// Strings are fixed-length, UTF-8, padded with NUL, at most 16 MiB together.
//
// DATASETS have rank 0 to 6, row-major, little-endian. Types: IEEE float of 16, 32 and 64 bits;
// bfloat16 as the 16-bit float with sign bit 15, exponent bits 7-14 of bias 127 and fraction bits
// 0-6 (what HDF5 2.0 predefines); signed and unsigned integers of 8 to 64 bits; fixed-length
// strings in one dimension. 8-bit floats are u8 with the attribute dtype = "f8_e4m3fn" or
// "f8_e5m2". libhdf5 never converts: its narrowing rounds wrongly. Attributes of a dataset:
//   xxh3   the XXH3-128 of its bytes (row-major, little-endian, uncompressed) in hexadecimal
//   dims   the names of its dimensions, outermost first, where they have names
// Storage is one of two. Mapped: contiguous and uncompressed, from 64 KiB on aligned to 4 KiB in
// the file (weights, latents, q, k, v). Packed: chunks of at most 1 MiB, shuffle and deflate
// (masks, histories). A reader accepts either, and any alignment, so h5repack(1) may change them.
//
// CONTENT DIGEST. The SHA-256, in hexadecimal, of one line per group, dataset and attribute outside
// /run and /receipt. A line is PATH, KIND, TYPE, SHAPE and HASH separated by one TAB and ended by
// one LF; lines are sorted as byte strings.
//   PATH   /a/b of an object ("/" for the root), OBJECT@NAME of an attribute
//   KIND   group, dataset or attribute
//   TYPE   f16 f32 f64 bf16 i8 i16 i32 i64 u8 u16 u32 u64 or str; "-" for a group
//   SHAPE  the extents joined by commas; "-" for a scalar and for a group
//   HASH   SHA-256, in hexadecimal, of the bytes (row-major, little-endian, uncompressed;
//          of strings, each one's bytes followed by one NUL); "-" for a group
// Compression, chunking and alignment do not enter. It is computed, never stored.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "lib/base/dtype.h"
#include "lib/base/view.h"
#include "lib/tensor/tensor.h"

namespace suffice {

inline constexpr std::string_view kTensorFormat = "suffice-tensor";
inline constexpr std::string_view kEncodingVersion = "1.0";
inline constexpr std::string_view kRunGroup = "/run";
inline constexpr std::string_view kReceiptGroup = "/receipt";

enum class EncodingType : uint8_t {
  kModel,
  kDataset,
  kCapture,
  kMask,
  kSamples,
  kRuns,
  kCalibration,
  kCheckpoint,
  kVelocities,
  kClassifier
};
std::string_view NameOf(EncodingType type);
std::optional<EncodingType> EncodingTypeFromName(std::string_view name);

using AttributeValue = std::variant<std::string, int64_t, double, std::vector<std::string>,
                                    std::vector<int64_t>, std::vector<double>>;
using AttributeMap = std::map<std::string, AttributeValue>;

// The root attributes. A writer is given the first six and fills in the rest.
struct FileHeader {
  EncodingType encoding_type = EncodingType::kModel;
  std::string config;                         // resolved YAML
  std::map<std::string, std::string> inputs;  // role -> content digest
  std::optional<int64_t> seed;
  std::string backend;   // Context::Describe(); empty: none was used
  std::string producer;  // empty: this program and its version
  std::string encoding_version;
  std::string config_sha256;
};

enum class Storage : uint8_t { kMapped, kPacked };

struct DatasetOptions {
  Storage storage = Storage::kMapped;
  std::vector<std::string> dims;  // names of the dimensions, none or one each
  std::string dtype;              // "f8_e4m3fn" or "f8_e5m2" for u8 that holds 8-bit floats
};

struct WriteOptions {
  bool force = false;  // replace an existing file
};

class RowStream;

// Writes one file, which appears at `path` at Commit, whole. Paths of objects are absolute; groups
// on the way are made. Errors: kUsage when the output exists, kFailed when it cannot be written.
// After an exception the writer can only be destroyed.
class TensorWriter {
 public:
  TensorWriter(const std::string& path, const FileHeader& header, const WriteOptions& options = {});
  ~TensorWriter();  // without Commit: nothing is left behind
  TensorWriter(TensorWriter&&) noexcept;
  TensorWriter& operator=(TensorWriter&&) = delete;

  const std::string& path() const;

  void Group(const std::string& path);
  void Dataset(const std::string& path, const HostArray& array, const DatasetOptions& options = {});
  // Contiguous host memory, without a copy.
  void Dataset(const std::string& path, const View& host, const DatasetOptions& options = {});
  void Strings(const std::string& path, std::span<const std::string> strings);
  // A dataset whose rows (slabs of dimension 0) are given in order: for what does not fit memory.
  RowStream OpenRows(const std::string& path, DType dtype, const Shape& shape,
                     const DatasetOptions& options = {});
  // `object` is a group, which is made if missing, or a dataset. A string has no NUL in it.
  void Attribute(const std::string& object, const std::string& name, const AttributeValue& value);

  void Commit();

 private:
  friend class RowStream;
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Must not outlive its writer.
class RowStream {
 public:
  RowStream(RowStream&&) noexcept;
  ~RowStream();
  // The next rows.shape()[0] rows; rank and inner extents are the dataset's.
  void Append(const HostArray& rows);
  void Append(const void* rows, int64_t count);
  HostArray Read(int64_t begin, int64_t count);  // rows that were appended, for a checkpoint
  void Close();  // after the last row; a writer cannot commit before

 private:
  friend class TensorWriter;
  struct Impl;
  explicit RowStream(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

struct DatasetInfo {
  std::string path;
  std::string type;  // NameOf(dtype), "str", or what the attribute dtype says of a u8
  DType dtype = DType::kU8;
  bool is_strings = false;
  Shape shape;
  std::vector<std::string> dims;
  Storage storage = Storage::kMapped;
  uint64_t stored_bytes = 0;
  uint64_t offset = 0;  // in the file, of mapped storage
  std::string xxh3;

  uint64_t bytes() const;  // uncompressed
  uint64_t item_bytes = 0;
};

// A dataset's bytes: pages of the file when its storage allows, else memory of its own.
class MappedArray {
 public:
  DType dtype() const { return dtype_; }
  const Shape& shape() const { return shape_; }
  const std::byte* data() const { return data_; }
  size_t bytes() const { return static_cast<size_t>(shape_.elements()) * SizeOf(dtype_); }
  bool mapped() const { return mapped_; }
  View view() const;  // of read-only memory
  template <class T>
  std::span<const T> values() const {
    SUFFICE_CHECK(dtype_ == kDTypeOf<T>);
    return {reinterpret_cast<const T*>(data_), static_cast<size_t>(shape_.elements())};
  }

 private:
  friend class TensorReader;
  std::shared_ptr<const void> owner_;
  const std::byte* data_ = nullptr;
  DType dtype_ = DType::kU8;
  Shape shape_;
  bool mapped_ = false;
};

// Opens one file and checks all of its structure before anything is read: the order of checks is in
// tensor_check.h. A dataset's checksum is checked before its first byte is handed out (once per
// reader, whole, also when only rows are asked for). All errors are kData and name file, object and
// reason. May be used from several threads.
class TensorReader {
 public:
  explicit TensorReader(const std::string& path);
  TensorReader(const std::string& path, EncodingType wanted);
  ~TensorReader();
  TensorReader(TensorReader&&) noexcept;
  TensorReader& operator=(TensorReader&&) noexcept;

  const std::string& path() const;
  const FileHeader& header() const;

  // Sorted by path. `prefix` is a group, "/blocks", and selects what lies below it.
  const std::vector<DatasetInfo>& datasets() const;
  std::vector<DatasetInfo> datasets(std::string_view prefix) const;
  const std::vector<std::string>& groups() const;                  // sorted, with "/"
  std::vector<std::string> members(std::string_view group) const;  // names, groups and datasets
  bool Has(std::string_view dataset) const;
  bool HasGroup(std::string_view group) const;
  const DatasetInfo& Info(std::string_view dataset) const;  // a missing one is an error

  // Checks what the caller needs before anything is allocated. An extent of -1 is any. `who`
  // wants it:
  //   weights.h5: /blocks/0/q: shape (64, 128), the config wants (64, 64)
  const DatasetInfo& Require(std::string_view dataset, DType dtype, const Shape& shape,
                             std::string_view who = "the config") const;

  HostArray Read(std::string_view dataset) const;
  HostArray ReadRows(std::string_view dataset, int64_t begin, int64_t end) const;
  // A NaN or an infinity is an error that names its index.
  HostArray ReadFinite(std::string_view dataset) const;
  std::vector<std::string> ReadStrings(std::string_view dataset) const;
  MappedArray Map(std::string_view dataset) const;
  // All bytes as stored but uncompressed, in order, in pieces of a few MiB. The checksum is judged
  // after the last piece: what was done with them must be undone when this throws.
  void Stream(std::string_view dataset,
              const std::function<void(const std::byte*, size_t)>& piece) const;

  const AttributeMap& Attributes(std::string_view object) const;  // empty for an unknown object
  // Nothing when absent; an error when of another type. An integer also answers as a number.
  std::optional<std::string> StringAttribute(std::string_view object,
                                             const std::string& name) const;
  std::optional<int64_t> IntAttribute(std::string_view object, const std::string& name) const;
  std::optional<double> FloatAttribute(std::string_view object, const std::string& name) const;
  std::optional<std::vector<std::string>> StringListAttribute(std::string_view object,
                                                              const std::string& name) const;
  std::optional<std::vector<int64_t>> IntListAttribute(std::string_view object,
                                                       const std::string& name) const;
  std::optional<std::vector<double>> FloatListAttribute(std::string_view object,
                                                        const std::string& name) const;

  // `hashes`, when given, receives the HASH of each dataset that enters, by path.
  std::string ContentDigest(std::map<std::string, std::string>* hashes = nullptr) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Whether `path` is one of our tensor files: an HDF5 file whose root says so. A missing file or
// damaged HDF5 is kData; anything else is merely not ours.
bool IsTensorFile(const std::string& path);

// Of one of our files as stated above; of any other file the SHA-256 of its bytes; of a folder that
// of one line for each file in it, NAME, a TAB, its digest and LF, sorted by name. A folder within
// is kData.
std::string ContentDigest(const std::string& path);

// SHA-256, in hexadecimal, of a dataset's bytes: the HASH of its line.
std::string DatasetDigest(const TensorReader& file, const DatasetInfo& info);

// kData naming `file` and `object` with the index of the first NaN or infinity. Integers
// always pass.
void RequireFinite(const HostArray& array, const std::string& file, std::string_view object);

}  // namespace suffice
