// SPDX-License-Identifier: Apache-2.0
#include "lib/io/tensor_types.h"

#include <array>

#include "lib/io/tensor_file.h"

namespace suffice {
namespace {

constexpr std::array kAllTypes = {DType::kF32, DType::kF64, DType::kF16, DType::kBF16,
                                  DType::kI8,  DType::kI16, DType::kI32, DType::kI64,
                                  DType::kU8,  DType::kU16, DType::kU32, DType::kU64};

// A 16-bit float with its sign in bit 15. libhdf5 wants the fields before the size.
H5TypeHandle MakeHalf(size_t exponent_bits, size_t bias) {
  const size_t fraction_bits = 15 - exponent_bits;
  H5TypeHandle type(H5Tcopy(H5T_IEEE_F32LE));
  SUFFICE_CHECK(H5Tset_fields(type, 15, fraction_bits, exponent_bits, 0, fraction_bits) >= 0);
  SUFFICE_CHECK(H5Tset_precision(type, 16) >= 0);
  SUFFICE_CHECK(H5Tset_size(type, 2) >= 0);
  SUFFICE_CHECK(H5Tset_ebias(type, bias) >= 0);
  return type;
}

}  // namespace

H5TypeHandle MakeType(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return H5TypeHandle(H5Tcopy(H5T_IEEE_F32LE));
    case DType::kF64:
      return H5TypeHandle(H5Tcopy(H5T_IEEE_F64LE));
    case DType::kF16:
      return MakeHalf(5, 15);
    case DType::kBF16:
      return MakeHalf(8, 127);
    case DType::kI8:
      return H5TypeHandle(H5Tcopy(H5T_STD_I8LE));
    case DType::kI16:
      return H5TypeHandle(H5Tcopy(H5T_STD_I16LE));
    case DType::kI32:
      return H5TypeHandle(H5Tcopy(H5T_STD_I32LE));
    case DType::kI64:
      return H5TypeHandle(H5Tcopy(H5T_STD_I64LE));
    case DType::kU8:
      return H5TypeHandle(H5Tcopy(H5T_STD_U8LE));
    case DType::kU16:
      return H5TypeHandle(H5Tcopy(H5T_STD_U16LE));
    case DType::kU32:
      return H5TypeHandle(H5Tcopy(H5T_STD_U32LE));
    case DType::kU64:
      return H5TypeHandle(H5Tcopy(H5T_STD_U64LE));
  }
  SUFFICE_CHECK(!"unknown element type");
  return {};
}

H5TypeHandle MakeStringType(size_t bytes) {
  H5TypeHandle type(H5Tcopy(H5T_C_S1));
  SUFFICE_CHECK(H5Tset_size(type, bytes == 0 ? 1 : bytes) >= 0);
  SUFFICE_CHECK(H5Tset_strpad(type, H5T_STR_NULLPAD) >= 0);
  SUFFICE_CHECK(H5Tset_cset(type, H5T_CSET_UTF8) >= 0);
  return type;
}

std::optional<DType> IdentifyType(hid_t type) {
  for (const DType dtype : kAllTypes) {
    if (H5Tequal(type, MakeType(dtype)) > 0) return dtype;
  }
  return std::nullopt;
}

std::optional<std::string> NameProblem(std::string_view name) {
  if (name.empty() || name == "." || name == "..") return "is empty or made of dots";
  if (name.size() > kMaxNameBytes) return fmt::format("is longer than {} bytes", kMaxNameBytes);
  for (const char c : name) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) return "has a control character";
    if (c == '/') return "has a slash";
  }
  if (!IsUtf8(name)) return "is not UTF-8";
  return std::nullopt;
}

std::optional<std::string> AttributeNameProblem(std::string_view name) {
  if (name.find('@') != std::string_view::npos) return "has an '@'";
  return NameProblem(name);
}

bool IsUtf8(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const auto lead = static_cast<unsigned char>(text[i]);
    const size_t length = lead < 0x80 ? 1 : lead < 0xC2 ? 0 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
    if (length == 0 || lead > 0xF4 || i + length > text.size()) return false;
    for (size_t j = 1; j < length; ++j) {
      const auto next = static_cast<unsigned char>(text[i + j]);
      // The second byte's range excludes overlong forms, surrogates and what lies past U+10FFFF.
      const unsigned char low = j > 1 ? 0x80 : lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
      const unsigned char high = j > 1 ? 0xBF : lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
      if (next < low || next > high) return false;
    }
    i += length;
  }
  return true;
}

bool IsVolatile(std::string_view path) {
  for (const std::string_view group : {kRunGroup, kReceiptGroup}) {
    if (path.starts_with(group) && (path.size() == group.size() || path[group.size()] == '/')) {
      return true;
    }
  }
  return false;
}

}  // namespace suffice
