// SPDX-License-Identifier: Apache-2.0
#include "lib/io/tensor_attribute.h"

#include <algorithm>
#include <cstring>

#include "lib/io/hdf5_handle.h"
#include "lib/io/tensor_types.h"

namespace suffice {
namespace {

template <class T>
AttributeValue ReadNumbers(hid_t attribute, hid_t type, const std::string& where, bool scalar,
                           size_t count) {
  std::vector<T> values(count);
  if (count > 0) MustRead(H5Aread(attribute, type, values.data()), where, "cannot be read");
  if (scalar) return values[0];
  return values;
}

AttributeValue ReadTexts(hid_t attribute, hid_t type, const std::string& where, bool scalar,
                         size_t count) {
  const size_t width = H5Tget_size(type);
  std::string padded(count * width, '\0');
  if (count > 0) MustRead(H5Aread(attribute, type, padded.data()), where, "cannot be read");
  std::vector<std::string> values(count);
  for (size_t i = 0; i < count; ++i) {
    values[i] = UnpadString(std::string_view(padded).substr(i * width, width), where);
  }
  if (scalar) return std::move(values[0]);
  return values;
}

}  // namespace

std::string UnpadString(std::string_view padded, const std::string& where) {
  const size_t end = padded.find('\0');
  const std::string_view text = padded.substr(0, end);
  if (end != std::string_view::npos &&
      padded.find_first_not_of('\0', end) != std::string_view::npos) {
    throw DataError("{}: a string with a NUL inside", where);
  }
  if (!IsUtf8(text)) throw DataError("{}: a string that is not UTF-8", where);
  return std::string(text);
}

AttributeValue ReadAttribute(hid_t object, const std::string& object_where,
                             const std::string& name) {
  const std::string where = object_where + "@" + name;
  if (const auto problem = AttributeNameProblem(name)) {
    throw DataError("{}: the attribute's name {}", object_where, *problem);
  }
  const H5AttributeHandle attribute(
      MustRead(H5Aopen(object, name.c_str(), H5P_DEFAULT), where, "cannot be opened"));
  const H5TypeHandle type(MustRead(H5Aget_type(attribute), where, "cannot be read"));
  const H5SpaceHandle space(MustRead(H5Aget_space(attribute), where, "cannot be read"));
  const int rank = MustRead(H5Sget_simple_extent_ndims(space), where, "cannot be read");
  if (rank > 1 || H5Sget_simple_extent_type(space) == H5S_NULL) {
    throw DataError("{}: neither a single value nor a list", where);
  }
  hsize_t count = 1;
  if (rank == 1) H5Sget_simple_extent_dims(space, &count, nullptr);
  const size_t width = H5Tget_size(type);
  if (width == 0 || count > kMaxAttributeBytes / width) {
    throw DataError("{}: larger than {} bytes", where, kMaxAttributeBytes);
  }
  if (H5Tget_class(type) == H5T_STRING) {
    if (H5Tis_variable_str(type) != 0) {
      throw DataError("{}: a variable-length string; write it with a fixed length", where);
    }
    return ReadTexts(attribute, type, where, rank == 0, count);
  }
  const auto dtype = IdentifyType(type);
  if (dtype == DType::kI64) return ReadNumbers<int64_t>(attribute, type, where, rank == 0, count);
  if (dtype == DType::kF64) return ReadNumbers<double>(attribute, type, where, rank == 0, count);
  throw DataError("{}: not a string, a 64-bit integer or a 64-bit float", where);
}

void WriteAttribute(hid_t object, const std::string& object_where, const std::string& name,
                    const AttributeValue& value) {
  const std::string where = object_where + "@" + name;
  if (const auto problem = AttributeNameProblem(name)) {
    throw RunError("{}: the attribute's name {}", object_where, *problem);
  }
  H5TypeHandle type;
  H5SpaceHandle space(H5Screate(H5S_SCALAR));
  const void* data = nullptr;
  std::string padded;
  const auto list_of = [&](size_t count) {
    const hsize_t extent = count;
    space = H5SpaceHandle(H5Screate_simple(1, &extent, nullptr));
  };
  if (const auto* text = std::get_if<std::string>(&value)) {
    padded = PadStrings({text, 1}, where);
    type = MakeStringType(padded.size());
    data = padded.data();
  } else if (const auto* texts = std::get_if<std::vector<std::string>>(&value)) {
    padded = PadStrings(*texts, where);
    type = MakeStringType(texts->empty() ? 1 : padded.size() / texts->size());
    data = padded.data();
    list_of(texts->size());
  } else if (const auto* integer = std::get_if<int64_t>(&value)) {
    type = MakeType(DType::kI64);
    data = integer;
  } else if (const auto* number = std::get_if<double>(&value)) {
    type = MakeType(DType::kF64);
    data = number;
  } else if (const auto* integers = std::get_if<std::vector<int64_t>>(&value)) {
    type = MakeType(DType::kI64);
    data = integers->data();
    list_of(integers->size());
  } else {
    const auto& numbers = std::get<std::vector<double>>(value);
    type = MakeType(DType::kF64);
    data = numbers.data();
    list_of(numbers.size());
  }
  if (padded.size() > kMaxAttributeBytes) {
    throw RunError("{}: {} bytes, at most {} can be stored", where, padded.size(),
                   kMaxAttributeBytes);
  }
  const H5AttributeHandle attribute(
      MustWrite(H5Acreate2(object, name.c_str(), type, space, H5P_DEFAULT, H5P_DEFAULT), where,
                "cannot be written"));
  if (H5Sget_simple_extent_npoints(space) == 0) return;
  MustWrite(H5Awrite(attribute, type, data), where, "cannot be written");
}

std::string PadStrings(std::span<const std::string> strings, const std::string& where) {
  size_t width = 1;
  for (const std::string& text : strings) {
    if (text.find('\0') != std::string::npos) throw RunError("{}: a string with a NUL", where);
    if (!IsUtf8(text)) throw RunError("{}: a string that is not UTF-8", where);
    width = std::max(width, text.size());
  }
  std::string padded(width * strings.size(), '\0');
  for (size_t i = 0; i < strings.size(); ++i) {
    std::memcpy(padded.data() + i * width, strings[i].data(), strings[i].size());
  }
  return padded;
}

}  // namespace suffice
