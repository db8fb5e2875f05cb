// SPDX-License-Identifier: Apache-2.0
// Element types, and the one rounding from fp32 to bfloat16 that the whole project uses.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace suffice {

enum class DType : uint8_t {
  kF32,
  kF64,
  kF16,
  kBF16,
  kI8,
  kI16,
  kI32,
  kI64,
  kU8,
  kU16,
  kU32,
  kU64
};

size_t SizeOf(DType dtype);
std::string_view NameOf(DType dtype);  // "f32", "bf16", "u8", ...
std::optional<DType> DTypeFromName(std::string_view name);

// A bfloat16: the upper half of an fp32.
struct BFloat16 {
  uint16_t bits;
};
static_assert(sizeof(BFloat16) == 2);

constexpr float ToFloat(BFloat16 x) { return std::bit_cast<float>(uint32_t{x.bits} << 16); }
constexpr float ToFloat(float x) { return x; }

// Rounds to nearest even; an fp32-subnormal input becomes zero of its sign (as vcvtneps2bf16 does);
// every NaN becomes the quiet 0x7FC0. Used for each tensor that is compared bit for bit between
// backends and for every other that is stored, but for two kinds, which differ from it only in
// subnormal values and in the bits of a NaN, which stays a NaN:
//   o, dq, dk, dv of the Hopper kernels   cvt.rn.bf16x2.f32: keeps subnormals, makes NaN 0x7FFF
//   products of matrices by a library     as cuBLASLt or oneDNN rounds
// constexpr: device code calls these too.
constexpr BFloat16 ToBFloat16(float x) {
  const uint32_t bits = std::bit_cast<uint32_t>(x);
  const uint32_t magnitude = bits & 0x7FFFFFFFu;
  if (magnitude > 0x7F800000u) return {0x7FC0};
  if (magnitude < 0x00800000u) return {static_cast<uint16_t>((bits >> 16) & 0x8000u)};
  return {static_cast<uint16_t>((bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16)};
}

void ToBFloat16(const float* in, BFloat16* out, size_t count);
void ToFloat(const BFloat16* in, float* out, size_t count);
float HalfToFloat(uint16_t bits);  // IEEE binary16, exact

template <class T>
constexpr DType kDTypeOf = [] {
  static_assert(sizeof(T) == 0, "no DType for this type");
  return DType::kF32;
}();
template <>
inline constexpr DType kDTypeOf<float> = DType::kF32;
template <>
inline constexpr DType kDTypeOf<double> = DType::kF64;
template <>
inline constexpr DType kDTypeOf<BFloat16> = DType::kBF16;
template <>
inline constexpr DType kDTypeOf<int8_t> = DType::kI8;
template <>
inline constexpr DType kDTypeOf<int16_t> = DType::kI16;
template <>
inline constexpr DType kDTypeOf<int32_t> = DType::kI32;
template <>
inline constexpr DType kDTypeOf<int64_t> = DType::kI64;
template <>
inline constexpr DType kDTypeOf<uint8_t> = DType::kU8;
template <>
inline constexpr DType kDTypeOf<uint16_t> = DType::kU16;
template <>
inline constexpr DType kDTypeOf<uint32_t> = DType::kU32;
template <>
inline constexpr DType kDTypeOf<uint64_t> = DType::kU64;

}  // namespace suffice
