// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <set>

#include "lib/base/digest.h"
#include "lib/io/tensor_attribute.h"
#include "lib/io/tensor_check.h"
#include "lib/io/tensor_file.h"
#include "lib/io/tensor_types.h"
#include "lib/io/unique_fd.h"

namespace suffice {
namespace {

constexpr int64_t kStreamBytes = int64_t{8} << 20;

// Pages of a file; the file may be renamed over meanwhile, its old bytes stay.
struct Mapping {
  void* memory = MAP_FAILED;
  size_t bytes = 0;
  ~Mapping() {
    if (memory != MAP_FAILED) munmap(memory, bytes);
  }
};

}  // namespace

struct TensorReader::Impl {
  std::string path;
  OpenedFile checked;
  std::set<std::string, std::less<>> verified;  // datasets whose checksum was seen to hold

  ~Impl() {
    const Hdf5Session session;
    checked.file.Close();
  }

  std::string In(std::string_view object) const { return Where(path, object); }
  const DatasetInfo& Find(std::string_view name) const;
  void ReadSlab(const DatasetInfo& info, int64_t begin, int64_t end, void* out) const;
  void Stream(const DatasetInfo& info, const std::function<void(const std::byte*, size_t)>& piece);
  void Verify(const DatasetInfo& info, const std::string& found);
  std::vector<std::string> Texts(const DatasetInfo& info);
  template <class T>
  std::optional<T> Get(std::string_view object, const std::string& name, const char* kind) const;
};

const DatasetInfo& TensorReader::Impl::Find(std::string_view name) const {
  const auto& all = checked.datasets;
  const auto found =
      std::lower_bound(all.begin(), all.end(), name,
                       [](const DatasetInfo& a, std::string_view b) { return a.path < b; });
  if (found == all.end() || found->path != name) throw DataError("{}: is missing", In(name));
  return *found;
}

// Rows [begin, end) of dimension 0; of a scalar, all of it.
void TensorReader::Impl::ReadSlab(const DatasetInfo& info, int64_t begin, int64_t end,
                                  void* out) const {
  if (info.bytes() == 0 || begin == end) return;
  const std::string where = In(info.path);
  const H5DatasetHandle dataset(
      MustRead(H5Dopen2(checked.file, info.path.c_str(), H5P_DEFAULT), where, "cannot be opened"));
  const H5TypeHandle type(MustRead(H5Dget_type(dataset), where, "its type cannot be read"));
  hsize_t start[kMaxRank] = {static_cast<hsize_t>(begin)};
  hsize_t count[kMaxRank] = {};
  for (int i = 0; i < info.shape.rank; ++i) count[i] = static_cast<hsize_t>(info.shape[i]);
  if (info.shape.rank == 0) {
    MustRead(H5Dread(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, out), where, "cannot be read");
    return;
  }
  count[0] = static_cast<hsize_t>(end - begin);
  const H5SpaceHandle in_file(MustRead(H5Dget_space(dataset), where, "its shape cannot be read"));
  const H5SpaceHandle in_memory(H5Screate_simple(info.shape.rank, count, nullptr));
  MustRead(H5Sselect_hyperslab(in_file, H5S_SELECT_SET, start, nullptr, count, nullptr), where,
           "cannot be read");
  MustRead(H5Dread(dataset, type, in_memory, in_file, H5P_DEFAULT, out), where, "cannot be read");
}

void TensorReader::Impl::Verify(const DatasetInfo& info, const std::string& found) {
  if (found != info.xxh3) {
    throw DataError("{}: its checksum is {}, {} was recorded", In(info.path), found, info.xxh3);
  }
  verified.insert(info.path);
}

// All bytes in order, in pieces of a few MiB; the checksum is judged after the last.
void TensorReader::Impl::Stream(const DatasetInfo& info,
                                const std::function<void(const std::byte*, size_t)>& piece) {
  const int64_t rows = info.shape.rank == 0 ? 1 : info.shape[0];
  Xxh3 hash;
  if (info.storage == Storage::kMapped && !info.is_strings) {
    // A row may be most of the file: read the bytes where they lie.
    const UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd.valid()) throw DataError("{}: {}", path, std::strerror(errno));
    std::vector<std::byte> buffer(std::min<uint64_t>(info.bytes(), kStreamBytes));
    for (uint64_t done = 0; done < info.bytes();) {
      const size_t wanted = std::min<uint64_t>(buffer.size(), info.bytes() - done);
      const ssize_t got =
          pread(fd.get(), buffer.data(), wanted, static_cast<off_t>(info.offset + done));
      if (got <= 0) throw DataError("{}: ends before its last byte", In(info.path));
      hash.Update(buffer.data(), static_cast<size_t>(got));
      piece(buffer.data(), static_cast<size_t>(got));
      done += static_cast<uint64_t>(got);
    }
  } else if (info.bytes() > 0) {
    const int64_t row_bytes = static_cast<int64_t>(info.bytes()) / rows;
    const int64_t step = std::max<int64_t>(1, kStreamBytes / row_bytes);
    std::vector<std::byte> buffer(static_cast<size_t>(std::min(step, rows) * row_bytes));
    for (int64_t row = 0; row < rows; row += step) {
      const int64_t end = std::min(rows, row + step);
      const auto bytes = static_cast<size_t>((end - row) * row_bytes);
      ReadSlab(info, row, end, buffer.data());
      hash.Update(buffer.data(), bytes);
      piece(buffer.data(), bytes);
    }
  }
  Verify(info, hash.Finish());
}

std::vector<std::string> TensorReader::Impl::Texts(const DatasetInfo& info) {
  const size_t width = info.item_bytes;
  std::string padded(info.bytes(), '\0');
  ReadSlab(info, 0, info.shape[0], padded.data());
  Verify(info, Xxh3Of(padded.data(), padded.size()));
  std::vector<std::string> strings(static_cast<size_t>(info.shape[0]));
  for (size_t i = 0; i < strings.size(); ++i) {
    strings[i] = UnpadString(std::string_view(padded).substr(i * width, width), In(info.path));
  }
  return strings;
}

TensorReader::TensorReader(const std::string& path) : impl_(std::make_unique<Impl>()) {
  const Hdf5Session session;
  impl_->path = path;
  impl_->checked = OpenChecked(path);
}

TensorReader::TensorReader(const std::string& path, EncodingType wanted) : TensorReader(path) {
  if (header().encoding_type != wanted) {
    throw DataError("{}: encoding-type {}, wanted {}", path, NameOf(header().encoding_type),
                    NameOf(wanted));
  }
}

TensorReader::~TensorReader() = default;
TensorReader::TensorReader(TensorReader&&) noexcept = default;
TensorReader& TensorReader::operator=(TensorReader&&) noexcept = default;

const std::string& TensorReader::path() const { return impl_->path; }
const FileHeader& TensorReader::header() const { return impl_->checked.header; }
const std::vector<DatasetInfo>& TensorReader::datasets() const { return impl_->checked.datasets; }
const std::vector<std::string>& TensorReader::groups() const { return impl_->checked.groups; }

std::vector<DatasetInfo> TensorReader::datasets(std::string_view prefix) const {
  const std::string below = prefix == "/" ? "/" : std::string(prefix) + "/";
  std::vector<DatasetInfo> found;
  for (const DatasetInfo& info : datasets()) {
    if (info.path.starts_with(below)) found.push_back(info);
  }
  return found;
}

std::vector<std::string> TensorReader::members(std::string_view group) const {
  const std::string below = group == "/" ? "/" : std::string(group) + "/";
  std::vector<std::string> names;
  const auto add = [&](const std::string& path) {
    if (path.size() > below.size() && path.starts_with(below) &&
        path.find('/', below.size()) == std::string::npos) {
      names.push_back(path.substr(below.size()));
    }
  };
  for (const std::string& path : groups()) add(path);
  for (const DatasetInfo& info : datasets()) add(info.path);
  std::sort(names.begin(), names.end());
  return names;
}

bool TensorReader::Has(std::string_view dataset) const {
  return std::any_of(datasets().begin(), datasets().end(),
                     [&](const DatasetInfo& info) { return info.path == dataset; });
}

bool TensorReader::HasGroup(std::string_view group) const {
  return std::binary_search(groups().begin(), groups().end(), group);
}

const DatasetInfo& TensorReader::Info(std::string_view dataset) const {
  return impl_->Find(dataset);
}

const DatasetInfo& TensorReader::Require(std::string_view dataset, DType dtype, const Shape& shape,
                                         std::string_view who) const {
  const DatasetInfo& info = impl_->Find(dataset);
  if (info.is_strings || info.dtype != dtype) {
    throw DataError("{}: type {}, {} wants {}", impl_->In(dataset), info.type, who, NameOf(dtype));
  }
  bool fits = info.shape.rank == shape.rank;
  for (int i = 0; fits && i < shape.rank; ++i) fits = shape[i] < 0 || shape[i] == info.shape[i];
  if (!fits) {
    throw DataError("{}: shape {}, {} wants {}", impl_->In(dataset), ToString(info.shape), who,
                    ToString(shape));
  }
  return info;
}

HostArray TensorReader::Read(std::string_view dataset) const {
  const Hdf5Session session;
  const DatasetInfo& info = impl_->Find(dataset);
  if (info.is_strings) throw DataError("{}: holds strings, not numbers", impl_->In(dataset));
  HostArray array(info.dtype, info.shape);
  impl_->ReadSlab(info, 0, info.shape.rank == 0 ? 1 : info.shape[0], array.data());
  impl_->Verify(info, Xxh3Of(array.data(), array.bytes()));
  return array;
}

HostArray TensorReader::ReadRows(std::string_view dataset, int64_t begin, int64_t end) const {
  const Hdf5Session session;
  const DatasetInfo& info = impl_->Find(dataset);
  if (info.is_strings || info.shape.rank == 0) {
    throw DataError("{}: has no rows of numbers", impl_->In(dataset));
  }
  SUFFICE_CHECK(0 <= begin && begin <= end && end <= info.shape[0]);
  if (!impl_->verified.contains(dataset)) impl_->Stream(info, [](const std::byte*, size_t) {});
  Shape shape = info.shape;
  shape[0] = end - begin;
  HostArray array(info.dtype, shape);
  if (array.bytes() > 0) impl_->ReadSlab(info, begin, end, array.data());
  return array;
}

HostArray TensorReader::ReadFinite(std::string_view dataset) const {
  HostArray array = Read(dataset);
  RequireFinite(array, impl_->path, dataset);
  return array;
}

std::vector<std::string> TensorReader::ReadStrings(std::string_view dataset) const {
  const Hdf5Session session;
  const DatasetInfo& info = impl_->Find(dataset);
  if (!info.is_strings) throw DataError("{}: holds {}, not strings", impl_->In(dataset), info.type);
  return impl_->Texts(info);
}

void TensorReader::Stream(std::string_view dataset,
                          const std::function<void(const std::byte*, size_t)>& piece) const {
  const Hdf5Session session;
  impl_->Stream(impl_->Find(dataset), piece);
}

MappedArray TensorReader::Map(std::string_view dataset) const {
  const Hdf5Session session;
  const DatasetInfo& info = impl_->Find(dataset);
  if (info.is_strings) throw DataError("{}: holds strings, not numbers", impl_->In(dataset));
  MappedArray array;
  array.dtype_ = info.dtype;
  array.shape_ = info.shape;
  if (info.storage != Storage::kMapped || info.bytes() == 0 || info.offset % info.item_bytes != 0) {
    auto owner = std::make_shared<HostArray>(Read(dataset));
    array.data_ = owner->data();
    array.owner_ = std::move(owner);
    return array;
  }
  const std::string where = impl_->In(dataset);
  const UniqueFd fd(open(impl_->path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) throw DataError("{}: {}", impl_->path, std::strerror(errno));
  struct stat now = {};
  const bool long_enough = fstat(fd.get(), &now) == 0 && now.st_size >= 0 &&
                           static_cast<uint64_t>(now.st_size) >= info.offset + info.bytes();
  const auto page = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  const uint64_t begin = info.offset / page * page;
  auto owner = std::make_shared<Mapping>();
  if (long_enough) {
    owner->bytes = info.offset + info.bytes() - begin;
    owner->memory =
        mmap(nullptr, owner->bytes, PROT_READ, MAP_PRIVATE, fd.get(), static_cast<off_t>(begin));
  }
  if (owner->memory == MAP_FAILED) throw DataError("{}: cannot be mapped", where);
  array.data_ = static_cast<const std::byte*>(owner->memory) + (info.offset - begin);
  array.owner_ = std::move(owner);
  array.mapped_ = true;
  impl_->Verify(info, Xxh3Of(array.data_, info.bytes()));
  return array;
}

const AttributeMap& TensorReader::Attributes(std::string_view object) const {
  static const AttributeMap empty;
  const auto found = impl_->checked.attributes.find(object);
  return found == impl_->checked.attributes.end() ? empty : found->second;
}

template <class T>
std::optional<T> TensorReader::Impl::Get(std::string_view object, const std::string& name,
                                         const char* kind) const {
  const auto attributes = checked.attributes.find(object);
  if (attributes == checked.attributes.end()) return std::nullopt;
  const auto found = attributes->second.find(name);
  if (found == attributes->second.end()) return std::nullopt;
  if (const T* value = std::get_if<T>(&found->second)) return *value;
  if constexpr (std::is_same_v<T, double>) {
    if (const auto* whole = std::get_if<int64_t>(&found->second)) {
      return static_cast<double>(*whole);
    }
  }
  throw DataError("{}@{}: is not {}", In(object), name, kind);
}

std::optional<std::string> TensorReader::StringAttribute(std::string_view object,
                                                         const std::string& name) const {
  return impl_->Get<std::string>(object, name, "a string");
}
std::optional<int64_t> TensorReader::IntAttribute(std::string_view object,
                                                  const std::string& name) const {
  return impl_->Get<int64_t>(object, name, "an integer");
}
std::optional<double> TensorReader::FloatAttribute(std::string_view object,
                                                   const std::string& name) const {
  return impl_->Get<double>(object, name, "a number");
}
std::optional<std::vector<std::string>> TensorReader::StringListAttribute(
    std::string_view object, const std::string& name) const {
  return impl_->Get<std::vector<std::string>>(object, name, "a list of strings");
}
std::optional<std::vector<int64_t>> TensorReader::IntListAttribute(std::string_view object,
                                                                   const std::string& name) const {
  return impl_->Get<std::vector<int64_t>>(object, name, "a list of integers");
}
std::optional<std::vector<double>> TensorReader::FloatListAttribute(std::string_view object,
                                                                    const std::string& name) const {
  return impl_->Get<std::vector<double>>(object, name, "a list of numbers");
}

}  // namespace suffice
