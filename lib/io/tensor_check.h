// SPDX-License-Identifier: Apache-2.0
// Opens a tensor file that nobody vouches for. Internal to lib/io. The order of the checks:
//
//  1. A regular file that begins with an HDF5 signature and a superblock of version 2 or 3
//  (metadata
//     with checksums; older ones are refused with the command that converts them) for 8-byte
//     addresses, closed by its writer, whose recorded end is the end of the file.
//  2. Opened read-only; the attributes format, encoding-version and encoding-type of the root.
//  3. Every object is reached from the root by hand: hard links only, each object once, at most
//     100,000 objects, 8 levels, names as stated in tensor_file.h.
//  4. Each dataset by its description alone: rank at most 6; a size that does not overflow; an
//  element
//     type of ours; no external or virtual storage; filters deflate, shuffle and fletcher32 only;
//     chunks of at most 64 MiB; contiguous bytes all stored and inside the file; compressed bytes
//     that could inflate to the declared size; a checksum.
//  5. All attributes: types of ours, at most 16 MiB each.
//
// No data are read here. libhdf5 1.10 itself is not hardened against a file made to attack it: the
// checksums stop damage, not malice (SECURITY.md).
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "lib/io/hdf5_handle.h"
#include "lib/io/tensor_file.h"

namespace suffice {

// Open, and everything in it checked.
struct OpenedFile {
  H5FileHandle file;
  uint64_t file_bytes = 0;
  FileHeader header;
  std::vector<std::string> groups;                              // sorted
  std::vector<DatasetInfo> datasets;                            // sorted by path
  std::map<std::string, AttributeMap, std::less<>> attributes;  // by object, where there are any
};

// Throws kData as tensor_file.h says. The caller holds an Hdf5Session.
OpenedFile OpenChecked(const std::string& path);

enum class FileKind { kNotHdf5, kForeignHdf5, kOurs };
FileKind IdentifyFile(const std::string& path);

// "FILE: OBJECT", the subject of every message.
std::string Where(const std::string& file, std::string_view object);

}  // namespace suffice
