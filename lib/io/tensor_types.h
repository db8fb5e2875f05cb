// SPDX-License-Identifier: Apache-2.0
// Element types as libhdf5 sees them, names, and the limits that every file is held to. Internal to
// lib/io; suffice-tensor(5), LIMITS, repeats the numbers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "lib/base/dtype.h"
#include "lib/io/hdf5_handle.h"

namespace suffice {

inline constexpr size_t kMaxNameBytes = 255;
inline constexpr int kMaxDepth = 8;             // groups below the root, the dataset included
inline constexpr size_t kMaxObjects = 100000;   // groups and datasets of a file
inline constexpr size_t kMaxAttributes = 4096;  // of one object
inline constexpr uint64_t kMaxAttributeBytes = uint64_t{16} << 20;
inline constexpr uint64_t kMaxChunkBytes = uint64_t{64} << 20;
// deflate cannot shrink below 1/1032; a dataset that claims more than this was never stored.
inline constexpr uint64_t kMaxInflation = 1100;

inline constexpr char kChecksumAttribute[] = "xxh3";
inline constexpr char kDimsAttribute[] = "dims";
inline constexpr char kDTypeAttribute[] = "dtype";

// The file's own type of `dtype`. It is also the memory type of every transfer.
H5TypeHandle MakeType(DType dtype);
H5TypeHandle MakeStringType(size_t bytes);
// The element type that `type` is exactly, if it is one of ours.
std::optional<DType> IdentifyType(hid_t type);

// Why `name` cannot name an object (an attribute), or nothing.
std::optional<std::string> NameProblem(std::string_view name);
std::optional<std::string> AttributeNameProblem(std::string_view name);

bool IsUtf8(std::string_view text);  // well formed: no overlong form, no surrogate

// "/run", "/run/x", "/receipt...": what may differ between equal runs.
bool IsVolatile(std::string_view path);

}  // namespace suffice
