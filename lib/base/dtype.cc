// SPDX-License-Identifier: Apache-2.0
#include "lib/base/dtype.h"

#include <array>

namespace suffice {
namespace {

struct Entry {
  std::string_view name;
  size_t size;
};
constexpr std::array<Entry, 12> kEntries = {{{"f32", 4},
                                             {"f64", 8},
                                             {"f16", 2},
                                             {"bf16", 2},
                                             {"i8", 1},
                                             {"i16", 2},
                                             {"i32", 4},
                                             {"i64", 8},
                                             {"u8", 1},
                                             {"u16", 2},
                                             {"u32", 4},
                                             {"u64", 8}}};

}  // namespace

size_t SizeOf(DType dtype) { return kEntries[static_cast<size_t>(dtype)].size; }
std::string_view NameOf(DType dtype) { return kEntries[static_cast<size_t>(dtype)].name; }

std::optional<DType> DTypeFromName(std::string_view name) {
  for (size_t i = 0; i < kEntries.size(); ++i) {
    if (kEntries[i].name == name) return static_cast<DType>(i);
  }
  return std::nullopt;
}

void ToBFloat16(const float* in, BFloat16* out, size_t count) {
  for (size_t i = 0; i < count; ++i) out[i] = ToBFloat16(in[i]);
}

void ToFloat(const BFloat16* in, float* out, size_t count) {
  for (size_t i = 0; i < count; ++i) out[i] = ToFloat(in[i]);
}

float HalfToFloat(uint16_t bits) {
  const uint32_t sign = uint32_t{bits & 0x8000u} << 16;
  const uint32_t exponent = (bits >> 10) & 0x1Fu;
  const uint32_t mantissa = bits & 0x3FFu;
  if (exponent == 0x1F) return std::bit_cast<float>(sign | 0x7F800000u | (mantissa << 13));
  if (exponent != 0)
    return std::bit_cast<float>(sign | ((exponent + 112) << 23) | (mantissa << 13));
  const float magnitude = static_cast<float>(mantissa) * 0x1p-24f;
  return std::bit_cast<float>(sign | std::bit_cast<uint32_t>(magnitude));
}

}  // namespace suffice
