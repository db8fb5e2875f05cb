// SPDX-License-Identifier: Apache-2.0
#include "lib/io/tensor_check.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <set>
#include <utility>

#include "lib/base/digest.h"
#include "lib/io/tensor_attribute.h"
#include "lib/io/tensor_types.h"

namespace suffice {
namespace {

constexpr std::string_view kSignature("\x89HDF\r\n\x1a\n", 8);

// Superblock versions 2 and 3: signature, version, bytes per address, bytes per length, flags, then
// 8-byte base address, extension, end of file, root, and a checksum that libhdf5 verifies.
struct Superblock {
  unsigned char bytes[48];
  uint64_t At(size_t offset) const {
    uint64_t value = 0;
    for (size_t i = 8; i-- > 0;) value = value << 8 | bytes[offset + i];
    return value;
  }
};

uint64_t RegularFileBytes(const std::string& path) {
  struct stat info = {};
  if (stat(path.c_str(), &info) != 0) throw DataError("{}: {}", path, std::strerror(errno));
  if (!S_ISREG(info.st_mode)) throw DataError("{}: not a regular file", path);
  return static_cast<uint64_t>(info.st_size);
}

// False when the file is not HDF5 at all.
bool ReadSuperblock(const std::string& path, Superblock& out, size_t& got) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) throw DataError("{}: {}", path, std::strerror(errno));
  const ssize_t bytes = pread(fd, out.bytes, sizeof(out.bytes), 0);
  close(fd);
  got = bytes < 0 ? 0 : static_cast<size_t>(bytes);
  return got >= 8 && std::memcmp(out.bytes, kSignature.data(), 8) == 0;
}

void CheckSuperblock(const std::string& path, const Superblock& block, size_t got,
                     uint64_t file_bytes) {
  if (got < sizeof(block.bytes)) throw DataError("{}: truncated in its superblock", path);
  const int version = block.bytes[8];
  if (version < 2) {
    throw DataError(
        "{}: superblock version {} has no checksums; 'h5repack -L {} NEW.h5' writes one that has",
        path, version, path);
  }
  if (version > 3) throw DataError("{}: superblock version {} is unknown", path, version);
  if (block.bytes[9] != 8 || block.bytes[10] != 8) {
    throw DataError("{}: addresses of {} and lengths of {} bytes, wanted 8 and 8", path,
                    block.bytes[9], block.bytes[10]);
  }
  if (block.bytes[11] != 0) throw DataError("{}: was not closed by its writer", path);
  if (block.At(12) != 0) throw DataError("{}: begins at a base address other than 0", path);
  if (block.At(28) != file_bytes) {
    throw DataError("{}: is {} bytes long, its superblock says {}", path, file_bytes, block.At(28));
  }
}

H5FileHandle OpenFile(const std::string& path) {
  const H5ListHandle access(H5Pcreate(H5P_FILE_ACCESS));
  SUFFICE_CHECK(H5Pset_file_locking(access, false, true) >=
                0);  // files are replaced, never changed
  SUFFICE_CHECK(H5Pset_fclose_degree(access, H5F_CLOSE_STRONG) >= 0);
  return H5FileHandle(
      MustRead(H5Fopen(path.c_str(), H5F_ACC_RDONLY, access), path, "cannot be opened as HDF5"));
}

std::string RootString(const std::string& path, hid_t root, const char* name) {
  const std::string where = Where(path, "/");
  if (H5Aexists(root, name) <= 0) throw DataError("{}: the attribute {} is missing", where, name);
  const AttributeValue value = ReadAttribute(root, where, name);
  if (const auto* text = std::get_if<std::string>(&value)) return *text;
  throw DataError("{}@{}: is not a string", where, name);
}

bool SaysOurFormat(const std::string& path, hid_t root) {
  return H5Aexists(root, "format") > 0 && RootString(path, root, "format") == kTensorFormat;
}

void CheckIdentity(const std::string& path, hid_t root, FileHeader& header) {
  if (!SaysOurFormat(path, root)) {
    throw DataError("{}: not a suffice tensor file: /@format does not say {}", path, kTensorFormat);
  }
  header.encoding_version = RootString(path, root, "encoding-version");
  const std::string_view major = kEncodingVersion.substr(0, kEncodingVersion.find('.') + 1);
  if (!header.encoding_version.starts_with(major)) {
    throw DataError("{}: encoding-version {}, this program reads {}x", path,
                    header.encoding_version, major);
  }
  const std::string type = RootString(path, root, "encoding-type");
  const auto known = EncodingTypeFromName(type);
  if (!known) throw DataError("{}: encoding-type {} is unknown", path, type);
  header.encoding_type = *known;
}

struct Link {
  std::string name;
  H5L_type_t type;
};

herr_t CollectLink(hid_t, const char* name, const H5L_info_t* info, void* out) {
  auto& links = *static_cast<std::vector<Link>*>(out);
  if (links.size() > kMaxObjects) return 1;
  links.push_back({name, info->type});
  return 0;
}

herr_t CollectAttribute(hid_t, const char* name, const H5A_info_t*, void* out) {
  auto& names = *static_cast<std::vector<std::string>*>(out);
  if (names.size() > kMaxAttributes) return 1;
  names.emplace_back(name);
  return 0;
}

const char* KindOf(H5L_type_t type) {
  return type == H5L_TYPE_SOFT       ? "a soft link"
         : type == H5L_TYPE_EXTERNAL ? "an external link"
                                     : "a user-defined link";
}

class Walker {
 public:
  Walker(const std::string& path, OpenedFile& out) : path_(path), out_(out) {}

  void Walk() {
    const H5GroupHandle root(
        MustRead(H5Gopen2(out_.file, "/", H5P_DEFAULT), path_, "its root cannot be opened"));
    Visit(root, "/", 0);
    std::sort(out_.groups.begin(), out_.groups.end());
    std::sort(out_.datasets.begin(), out_.datasets.end(),
              [](const DatasetInfo& a, const DatasetInfo& b) { return a.path < b.path; });
  }

 private:
  void Visit(hid_t object, const std::string& name, int depth) {
    const std::string where = Where(path_, name);
    H5O_info_t info = {};
    MustRead(H5Oget_info2(object, &info, H5O_INFO_BASIC), where, "cannot be read");
    if (!seen_.insert(info.addr).second) throw DataError("{}: is reached under two names", where);
    if (seen_.size() > kMaxObjects) throw DataError("{}: more than {} objects", path_, kMaxObjects);
    if (info.type != H5O_TYPE_GROUP && info.type != H5O_TYPE_DATASET) {
      throw DataError("{}: neither a group nor a dataset", where);
    }
    const AttributeMap attributes = ReadAttributes(object, where);
    if (info.type == H5O_TYPE_DATASET) {
      out_.datasets.push_back(Describe(object, name, where, attributes));
    } else {
      VisitMembers(object, name, where, depth);
      out_.groups.push_back(name);
    }
    if (!attributes.empty()) out_.attributes.emplace(name, attributes);
  }

  void VisitMembers(hid_t group, const std::string& name, const std::string& where, int depth) {
    std::vector<Link> links;
    hsize_t position = 0;
    MustRead(H5Literate(group, H5_INDEX_NAME, H5_ITER_NATIVE, &position, &CollectLink, &links),
             where, "cannot be listed");
    if (!links.empty() && depth >= kMaxDepth) {
      throw DataError("{}: more than {} levels deep", where, kMaxDepth);
    }
    for (const Link& link : links) {
      if (const auto problem = NameProblem(link.name)) {
        throw DataError("{}: a member's name {}", where, *problem);
      }
      const std::string child = (name == "/" ? "/" : name + "/") + link.name;
      if (link.type != H5L_TYPE_HARD) {
        throw DataError("{}: is {}", Where(path_, child), KindOf(link.type));
      }
      const H5ObjectHandle object(MustRead(H5Oopen(group, link.name.c_str(), H5P_DEFAULT),
                                           Where(path_, child), "cannot be opened"));
      Visit(object, child, depth + 1);
    }
  }

  AttributeMap ReadAttributes(hid_t object, const std::string& where) {
    std::vector<std::string> names;
    hsize_t position = 0;
    MustRead(
        H5Aiterate2(object, H5_INDEX_NAME, H5_ITER_NATIVE, &position, &CollectAttribute, &names),
        where, "its attributes cannot be listed");
    if (names.size() > kMaxAttributes) {
      throw DataError("{}: more than {} attributes", where, kMaxAttributes);
    }
    AttributeMap attributes;
    for (const std::string& name : names) {
      if (!attributes.emplace(name, ReadAttribute(object, where, name)).second) {
        throw DataError("{}@{}: is there twice", where, name);
      }
    }
    return attributes;
  }

  DatasetInfo Describe(hid_t dataset, const std::string& name, const std::string& where,
                       const AttributeMap& attributes) {
    DatasetInfo info;
    info.path = name;
    DescribeType(dataset, where, info);
    DescribeShape(dataset, where, info);
    DescribeStorage(dataset, where, info);
    const auto text = [&](const char* key) -> const std::string* {
      const auto found = attributes.find(key);
      return found == attributes.end() ? nullptr : std::get_if<std::string>(&found->second);
    };
    if (text(kChecksumAttribute) == nullptr) {
      throw DataError("{}: carries no checksum ({})", where, kChecksumAttribute);
    }
    info.xxh3 = *text(kChecksumAttribute);
    if (const std::string* dtype = text(kDTypeAttribute); dtype && info.dtype == DType::kU8) {
      info.type = *dtype;
    }
    if (const auto found = attributes.find(kDimsAttribute); found != attributes.end()) {
      if (const auto* dims = std::get_if<std::vector<std::string>>(&found->second))
        info.dims = *dims;
      if (info.dims.size() != static_cast<size_t>(info.shape.rank)) {
        throw DataError("{}@dims: not one name for each of the {} dimensions", where,
                        info.shape.rank);
      }
    }
    return info;
  }

  void DescribeType(hid_t dataset, const std::string& where, DatasetInfo& info) {
    const H5TypeHandle type(MustRead(H5Dget_type(dataset), where, "its type cannot be read"));
    info.item_bytes = H5Tget_size(type);
    if (H5Tget_class(type) == H5T_STRING && H5Tis_variable_str(type) == 0 && info.item_bytes > 0) {
      info.is_strings = true;
      info.type = "str";
      return;
    }
    const auto dtype = IdentifyType(type);
    if (!dtype) throw DataError("{}: an element type that is none of ours", where);
    info.dtype = *dtype;
    info.type = NameOf(*dtype);
  }

  void DescribeShape(hid_t dataset, const std::string& where, DatasetInfo& info) {
    const H5SpaceHandle space(MustRead(H5Dget_space(dataset), where, "its shape cannot be read"));
    if (H5Sget_simple_extent_type(space) == H5S_NULL) throw DataError("{}: has no shape", where);
    const int rank = MustRead(H5Sget_simple_extent_ndims(space), where, "its shape cannot be read");
    if (rank > kMaxRank) throw DataError("{}: rank {}, at most {}", where, rank, kMaxRank);
    if (info.is_strings && rank != 1) throw DataError("{}: strings of rank {}", where, rank);
    hsize_t extents[kMaxRank] = {};
    if (rank > 0) {
      MustRead(H5Sget_simple_extent_dims(space, extents, nullptr), where,
               "its shape cannot be read");
    }
    info.shape.rank = rank;
    unsigned __int128 bytes = info.item_bytes;
    for (int i = 0; i < rank; ++i) {
      if (extents[i] > INT64_MAX) throw DataError("{}: an extent of {}", where, extents[i]);
      info.shape[i] = static_cast<int64_t>(extents[i]);
      // A zero may follow factors whose product would not fit: each prefix is held to the bound.
      bytes *= std::max<hsize_t>(extents[i], 1);
      if (bytes > INT64_MAX) throw DataError("{}: shape {} overflows", where, ToString(info.shape));
    }
  }

  void DescribeStorage(hid_t dataset, const std::string& where, DatasetInfo& info) {
    const H5ListHandle list(
        MustRead(H5Dget_create_plist(dataset), where, "its storage cannot be read"));
    if (H5Pget_external_count(list) != 0)
      throw DataError("{}: its data are in another file", where);
    const H5D_layout_t layout = H5Pget_layout(list);
    info.stored_bytes = H5Dget_storage_size(dataset);
    if (info.stored_bytes > out_.file_bytes) {
      throw DataError("{}: stores {} bytes in a file of {}", where, info.stored_bytes,
                      out_.file_bytes);
    }
    if (layout == H5D_CHUNKED) {
      CheckChunks(list, where, info);
    } else if (layout == H5D_CONTIGUOUS || layout == H5D_COMPACT) {
      if (info.stored_bytes != info.bytes()) {
        throw DataError("{}: {} bytes stored, its shape needs {}", where, info.stored_bytes,
                        info.bytes());
      }
    } else {
      throw DataError("{}: a virtual or unknown layout", where);
    }
    info.storage = layout == H5D_CONTIGUOUS ? Storage::kMapped : Storage::kPacked;
    if (layout != H5D_CONTIGUOUS || info.bytes() == 0) return;
    info.offset = H5Dget_offset(dataset);
    if (info.offset > out_.file_bytes || info.bytes() > out_.file_bytes - info.offset) {
      throw DataError("{}: its bytes lie past the end of the file", where);
    }
  }

  void CheckChunks(hid_t list, const std::string& where, const DatasetInfo& info) {
    hsize_t extents[kMaxRank] = {};
    const int rank = H5Pget_chunk(list, kMaxRank, extents);
    if (rank != info.shape.rank) throw DataError("{}: chunks of rank {}", where, rank);
    unsigned __int128 chunk = info.item_bytes;
    for (int i = 0; i < rank && chunk <= kMaxChunkBytes; ++i) chunk *= extents[i];
    if (chunk == 0 || chunk > kMaxChunkBytes) {
      throw DataError("{}: chunks of more than {} bytes", where, kMaxChunkBytes);
    }
    const int filters = MustRead(H5Pget_nfilters(list), where, "its filters cannot be read");
    for (int i = 0; i < filters; ++i) {
      unsigned flags = 0;
      unsigned config = 0;
      size_t values = 0;
      const H5Z_filter_t filter = H5Pget_filter2(list, static_cast<unsigned>(i), &flags, &values,
                                                 nullptr, 0, nullptr, &config);
      if (filter != H5Z_FILTER_DEFLATE && filter != H5Z_FILTER_SHUFFLE &&
          filter != H5Z_FILTER_FLETCHER32) {
        throw DataError("{}: filter {} is not one of deflate, shuffle, fletcher32", where, filter);
      }
    }
    if (info.bytes() / kMaxInflation > info.stored_bytes) {
      throw DataError("{}: {} bytes stored cannot hold its {}", where, info.stored_bytes,
                      info.bytes());
    }
  }

  const std::string& path_;
  OpenedFile& out_;
  std::set<haddr_t> seen_;
};

void ReadHeader(const std::string& path, const AttributeMap& root, FileHeader& header) {
  const auto text = [&](const char* name) -> std::string {
    const auto found = root.find(name);
    if (found == root.end()) return {};
    if (const auto* value = std::get_if<std::string>(&found->second)) return *value;
    throw DataError("{}: /@{}: is not a string", path, name);
  };
  header.producer = text("producer");
  header.backend = text("backend");
  header.config = text("config");
  header.config_sha256 = text("config-sha256");
  if (header.config_sha256 != Hex(Sha256Of(header.config))) {
    throw DataError("{}: /@config-sha256: does not fit /@config", path);
  }
  if (const auto found = root.find("seed"); found != root.end()) {
    const auto* seed = std::get_if<int64_t>(&found->second);
    if (seed == nullptr) throw DataError("{}: /@seed: is not an integer", path);
    header.seed = *seed;
  }
  if (const auto found = root.find("inputs"); found != root.end()) {
    const auto* inputs = std::get_if<std::vector<std::string>>(&found->second);
    if (inputs == nullptr) throw DataError("{}: /@inputs: is not a list of strings", path);
    for (const std::string& line : *inputs) {
      const size_t space = line.rfind(' ');
      if (space == std::string::npos ||
          !header.inputs.emplace(line.substr(0, space), line.substr(space + 1)).second) {
        throw DataError("{}: /@inputs: '{}' is not a new ROLE and its DIGEST", path, line);
      }
    }
  }
}

}  // namespace

std::string Where(const std::string& file, std::string_view object) {
  return fmt::format("{}: {}", file, object);
}

FileKind IdentifyFile(const std::string& path) {
  const uint64_t bytes = RegularFileBytes(path);
  Superblock block;
  size_t got = 0;
  if (!ReadSuperblock(path, block, got)) return FileKind::kNotHdf5;
  CheckSuperblock(path, block, got, bytes);
  const H5FileHandle file = OpenFile(path);
  const H5GroupHandle root(
      MustRead(H5Gopen2(file, "/", H5P_DEFAULT), path, "its root cannot be opened"));
  return SaysOurFormat(path, root) ? FileKind::kOurs : FileKind::kForeignHdf5;
}

OpenedFile OpenChecked(const std::string& path) {
  OpenedFile out;
  out.file_bytes = RegularFileBytes(path);
  Superblock block;
  size_t got = 0;
  if (!ReadSuperblock(path, block, got)) throw DataError("{}: not an HDF5 file", path);
  CheckSuperblock(path, block, got, out.file_bytes);
  out.file = OpenFile(path);
  {
    const H5GroupHandle root(
        MustRead(H5Gopen2(out.file, "/", H5P_DEFAULT), path, "its root cannot be opened"));
    CheckIdentity(path, root, out.header);
  }
  Walker(path, out).Walk();
  ReadHeader(path, out.attributes.find("/")->second, out.header);
  return out;
}

}  // namespace suffice
