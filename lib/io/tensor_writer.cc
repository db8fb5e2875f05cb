// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <set>
#include <utility>

#include "lib/base/digest.h"
#include "lib/base/version.h"
#include "lib/io/atomic_file.h"
#include "lib/io/hdf5_handle.h"
#include "lib/io/tensor_attribute.h"
#include "lib/io/tensor_check.h"
#include "lib/io/tensor_file.h"
#include "lib/io/tensor_types.h"

namespace suffice {
namespace {

constexpr hsize_t kAlignFromBytes = 64 << 10;
constexpr hsize_t kAlignment = 4 << 10;
constexpr uint64_t kChunkBytes = 1 << 20;
constexpr unsigned kDeflateLevel = 4;

using Extents = std::array<hsize_t, kMaxRank>;

Extents ToExtents(const Shape& shape) {
  Extents extents{};
  for (int i = 0; i < shape.rank; ++i) {
    extents[static_cast<size_t>(i)] = static_cast<hsize_t>(shape[i]);
  }
  return extents;
}

// Whole inner slabs where they fit: the outermost extents are cut first.
Extents ChunkExtents(const Shape& shape, size_t item_bytes) {
  Extents chunk = ToExtents(shape);
  uint64_t bytes = static_cast<uint64_t>(shape.elements()) * item_bytes;
  for (size_t i = 0; i < static_cast<size_t>(shape.rank) && bytes > kChunkBytes; ++i) {
    const uint64_t inner = bytes / chunk[i];
    chunk[i] = std::max<uint64_t>(1, kChunkBytes / inner);
    bytes = inner * chunk[i];
  }
  return chunk;
}

std::string ParentOf(const std::string& path) { return path.substr(0, path.rfind('/')); }

}  // namespace

struct TensorWriter::Impl {
  AtomicFile output;
  H5FileHandle file;
  std::set<std::string> groups;
  std::set<std::string> datasets;
  int open_streams = 0;

  Impl(const std::string& path, bool force) : output(path, force) {}
  ~Impl() {
    const Hdf5Session session;
    output.Discard();  // first: libhdf5 then has room to flush what nobody wants
    if (file.Close() < 0) H5Eclear2(H5E_DEFAULT);
  }

  void Create();
  void MakeGroup(const std::string& path);
  H5DatasetHandle MakeDataset(const std::string& path, hid_t type, size_t item_bytes,
                              const Shape& shape, const DatasetOptions& options);
  void WriteDataset(const std::string& path, hid_t type, size_t item_bytes, const Shape& shape,
                    const void* data, const DatasetOptions& options);
  std::string In(std::string_view object) const { return Where(output.path(), object); }
};

void TensorWriter::Impl::Create() {
  const H5ListHandle creation(H5Pcreate(H5P_FILE_CREATE));
  SUFFICE_CHECK(H5Pset_obj_track_times(creation, false) >= 0);
  SUFFICE_CHECK(
      H5Pset_link_creation_order(creation, H5P_CRT_ORDER_TRACKED | H5P_CRT_ORDER_INDEXED) >= 0);
  const H5ListHandle access(H5Pcreate(H5P_FILE_ACCESS));
  SUFFICE_CHECK(H5Pset_libver_bounds(access, H5F_LIBVER_V110, H5F_LIBVER_V110) >= 0);
  SUFFICE_CHECK(H5Pset_alignment(access, kAlignFromBytes, kAlignment) >= 0);
  SUFFICE_CHECK(H5Pset_fclose_degree(access, H5F_CLOSE_STRONG) >= 0);
  SUFFICE_CHECK(H5Pset_file_locking(access, false, true) >= 0);
  file =
      H5FileHandle(MustWrite(H5Fcreate(output.temporary().c_str(), H5F_ACC_TRUNC, creation, access),
                             output.path(), "cannot be created"));
  groups.insert("");
}

void TensorWriter::Impl::MakeGroup(const std::string& path) {
  if (path == "/" || groups.contains(path)) return;
  SUFFICE_CHECK(path.starts_with('/'));
  MakeGroup(ParentOf(path));
  const std::string name = path.substr(path.rfind('/') + 1);
  if (const auto problem = NameProblem(name)) throw RunError("{}: its name {}", In(path), *problem);
  const H5ListHandle creation(H5Pcreate(H5P_GROUP_CREATE));
  SUFFICE_CHECK(H5Pset_obj_track_times(creation, false) >= 0);
  SUFFICE_CHECK(
      H5Pset_link_creation_order(creation, H5P_CRT_ORDER_TRACKED | H5P_CRT_ORDER_INDEXED) >= 0);
  const H5GroupHandle group(
      MustWrite(H5Gcreate2(file, path.c_str(), H5P_DEFAULT, creation, H5P_DEFAULT), In(path),
                "cannot be made"));
  groups.insert(path);
}

H5DatasetHandle TensorWriter::Impl::MakeDataset(const std::string& path, hid_t type,
                                                size_t item_bytes, const Shape& shape,
                                                const DatasetOptions& options) {
  SUFFICE_CHECK(path.starts_with('/') && path.size() > 1);
  MakeGroup(ParentOf(path));
  if (const auto problem = NameProblem(path.substr(path.rfind('/') + 1))) {
    throw RunError("{}: its name {}", In(path), *problem);
  }
  const Extents extents = ToExtents(shape);
  const H5SpaceHandle space(shape.rank == 0
                                ? H5Screate(H5S_SCALAR)
                                : H5Screate_simple(shape.rank, extents.data(), nullptr));
  const H5ListHandle creation(H5Pcreate(H5P_DATASET_CREATE));
  const H5ListHandle access(H5Pcreate(H5P_DATASET_ACCESS));
  SUFFICE_CHECK(H5Pset_obj_track_times(creation, false) >= 0);
  SUFFICE_CHECK(H5Pset_fill_time(creation, H5D_FILL_TIME_NEVER) >= 0);
  if (options.storage == Storage::kPacked && shape.rank > 0 && shape.elements() > 0) {
    const Extents chunk = ChunkExtents(shape, item_bytes);
    SUFFICE_CHECK(H5Pset_chunk(creation, shape.rank, chunk.data()) >= 0);
    SUFFICE_CHECK(H5Pset_shuffle(creation) >= 0);
    SUFFICE_CHECK(H5Pset_deflate(creation, kDeflateLevel) >= 0);
    // Rows may end inside a chunk: hold it until the next rows complete it.
    SUFFICE_CHECK(H5Pset_chunk_cache(access, 521, 8 * kChunkBytes, 1.0) >= 0);
  } else {
    SUFFICE_CHECK(H5Pset_layout(creation, H5D_CONTIGUOUS) >= 0);
    SUFFICE_CHECK(H5Pset_alloc_time(creation, H5D_ALLOC_TIME_EARLY) >= 0);
  }
  H5DatasetHandle dataset(
      MustWrite(H5Dcreate2(file, path.c_str(), type, space, H5P_DEFAULT, creation, access),
                In(path), "cannot be made"));
  datasets.insert(path);
  if (!options.dims.empty()) {
    SUFFICE_CHECK(options.dims.size() == static_cast<size_t>(shape.rank));
    WriteAttribute(dataset, In(path), kDimsAttribute, options.dims);
  }
  if (!options.dtype.empty()) WriteAttribute(dataset, In(path), kDTypeAttribute, options.dtype);
  return dataset;
}

void TensorWriter::Impl::WriteDataset(const std::string& path, hid_t type, size_t item_bytes,
                                      const Shape& shape, const void* data,
                                      const DatasetOptions& options) {
  const H5DatasetHandle dataset = MakeDataset(path, type, item_bytes, shape, options);
  const size_t bytes = static_cast<size_t>(shape.elements()) * item_bytes;
  if (bytes > 0) {
    MustWrite(H5Dwrite(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data), In(path),
              "cannot be written");
  }
  WriteAttribute(dataset, In(path), kChecksumAttribute, Xxh3Of(data, bytes));
}

TensorWriter::TensorWriter(const std::string& path, const FileHeader& header,
                           const WriteOptions& options)
    : impl_(std::make_unique<Impl>(path, options.force)) {
  const Hdf5Session session;
  impl_->Create();
  Attribute("/", "format", std::string(kTensorFormat));
  Attribute("/", "encoding-type", std::string(NameOf(header.encoding_type)));
  Attribute("/", "encoding-version", std::string(kEncodingVersion));
  Attribute("/", "producer", header.producer.empty() ? Producer() : header.producer);
  Attribute("/", "config", header.config);
  Attribute("/", "config-sha256", Hex(Sha256Of(header.config)));
  if (!header.inputs.empty()) {
    std::vector<std::string> lines;
    for (const auto& [role, digest] : header.inputs) lines.push_back(role + " " + digest);
    Attribute("/", "inputs", lines);
  }
  if (header.seed) Attribute("/", "seed", *header.seed);
  if (!header.backend.empty()) Attribute("/", "backend", header.backend);
}

TensorWriter::~TensorWriter() = default;
TensorWriter::TensorWriter(TensorWriter&&) noexcept = default;

const std::string& TensorWriter::path() const { return impl_->output.path(); }

void TensorWriter::Group(const std::string& path) {
  const Hdf5Session session;
  impl_->MakeGroup(path);
}

void TensorWriter::Dataset(const std::string& path, const HostArray& array,
                           const DatasetOptions& options) {
  const Hdf5Session session;
  impl_->WriteDataset(path, MakeType(array.dtype()), SizeOf(array.dtype()), array.shape(),
                      array.data(), options);
}

void TensorWriter::Dataset(const std::string& path, const View& host,
                           const DatasetOptions& options) {
  SUFFICE_CHECK(host.contiguous() && host.device.kind == DeviceKind::kHost);
  const Hdf5Session session;
  impl_->WriteDataset(path, MakeType(host.dtype), SizeOf(host.dtype), host.shape, host.data,
                      options);
}

void TensorWriter::Strings(const std::string& path, std::span<const std::string> strings) {
  const Hdf5Session session;
  const std::string padded = PadStrings(strings, impl_->In(path));
  const size_t width = strings.empty() ? 1 : padded.size() / strings.size();
  impl_->WriteDataset(path, MakeStringType(width), width, {static_cast<int64_t>(strings.size())},
                      padded.data(), {.storage = Storage::kPacked, .dims = {}, .dtype = {}});
}

void TensorWriter::Attribute(const std::string& object, const std::string& name,
                             const AttributeValue& value) {
  const Hdf5Session session;
  if (!impl_->datasets.contains(object)) impl_->MakeGroup(object);
  const H5ObjectHandle handle(MustWrite(H5Oopen(impl_->file, object.c_str(), H5P_DEFAULT),
                                        impl_->In(object), "cannot be opened"));
  WriteAttribute(handle, impl_->In(object), name, value);
}

void TensorWriter::Commit() {
  const Hdf5Session session;
  SUFFICE_CHECK(impl_->open_streams == 0);
  MustWrite(H5Fflush(impl_->file, H5F_SCOPE_GLOBAL), path(), "cannot be written");
  MustWrite(impl_->file.Close(), path(), "cannot be closed");
  impl_->output.Commit();
}

struct RowStream::Impl {
  TensorWriter::Impl* writer;
  std::string path;
  DType dtype;
  Shape shape;
  H5DatasetHandle dataset;
  int64_t rows_done = 0;
  Xxh3 hash;
};

namespace {

// `count` rows from `begin`, in the file and in memory.
struct Slab {
  int64_t elements;
  H5SpaceHandle in_file, in_memory;
  template <class Stream>
  Slab(const Stream& stream, int64_t begin, int64_t count) {
    Shape shape = stream.shape;
    shape[0] = count;
    elements = shape.elements();
    if (elements == 0) return;
    Extents first{};
    first[0] = static_cast<hsize_t>(begin);
    const Extents extents = ToExtents(shape);
    in_file = H5SpaceHandle(H5Dget_space(stream.dataset));
    in_memory = H5SpaceHandle(H5Screate_simple(shape.rank, extents.data(), nullptr));
    SUFFICE_CHECK(H5Sselect_hyperslab(in_file, H5S_SELECT_SET, first.data(), nullptr,
                                      extents.data(), nullptr) >= 0);
  }
};

}  // namespace

RowStream::RowStream(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
RowStream::RowStream(RowStream&&) noexcept = default;
RowStream::~RowStream() {
  if (!impl_) return;
  const Hdf5Session session;
  impl_->dataset.Close();
}

RowStream TensorWriter::OpenRows(const std::string& path, DType dtype, const Shape& shape,
                                 const DatasetOptions& options) {
  const Hdf5Session session;
  SUFFICE_CHECK(shape.rank > 0);
  auto stream = std::make_unique<RowStream::Impl>();
  stream->dataset = impl_->MakeDataset(path, MakeType(dtype), SizeOf(dtype), shape, options);
  stream->writer = impl_.get();
  stream->path = path;
  stream->dtype = dtype;
  stream->shape = shape;
  ++impl_->open_streams;
  return RowStream(std::move(stream));
}

void RowStream::Append(const HostArray& rows) {
  SUFFICE_CHECK(rows.dtype() == impl_->dtype && rows.shape().rank == impl_->shape.rank);
  for (int i = 1; i < impl_->shape.rank; ++i) SUFFICE_CHECK(rows.shape()[i] == impl_->shape[i]);
  Append(rows.data(), rows.shape()[0]);
}

void RowStream::Append(const void* rows, int64_t count) {
  const Hdf5Session session;
  SUFFICE_CHECK(count >= 0 && impl_->rows_done + count <= impl_->shape[0]);
  if (const Slab slab(*impl_, impl_->rows_done, count); slab.elements > 0) {
    MustWrite(H5Dwrite(impl_->dataset, MakeType(impl_->dtype), slab.in_memory, slab.in_file,
                       H5P_DEFAULT, rows),
              impl_->writer->In(impl_->path), "cannot be written");
    impl_->hash.Update(rows, static_cast<size_t>(slab.elements) * SizeOf(impl_->dtype));
  }
  impl_->rows_done += count;
}

HostArray RowStream::Read(int64_t begin, int64_t count) {
  const Hdf5Session session;
  SUFFICE_CHECK(begin >= 0 && count >= 0 && begin + count <= impl_->rows_done);
  Shape shape = impl_->shape;
  shape[0] = count;
  HostArray rows(impl_->dtype, shape);
  if (const Slab slab(*impl_, begin, count); slab.elements > 0) {
    MustWrite(H5Dread(impl_->dataset, MakeType(impl_->dtype), slab.in_memory, slab.in_file,
                      H5P_DEFAULT, rows.data()),
              impl_->writer->In(impl_->path), "cannot be read back");
  }
  return rows;
}

void RowStream::Close() {
  const Hdf5Session session;
  SUFFICE_CHECK(impl_->rows_done == impl_->shape[0]);
  const std::string where = impl_->writer->In(impl_->path);
  WriteAttribute(impl_->dataset, where, kChecksumAttribute, impl_->hash.Finish());
  MustWrite(impl_->dataset.Close(), where, "cannot be written");
  --impl_->writer->open_streams;
  impl_.reset();
}

}  // namespace suffice
