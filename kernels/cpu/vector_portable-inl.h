// SPDX-License-Identifier: Apache-2.0
// 4 lanes in the compiler's own vector types: SSE2, NEON, or whatever the target has.
#pragma once

#include <cstdint>

namespace suffice::cpu {
namespace {

struct Portable {
  typedef float F __attribute__((vector_size(16)));
  typedef int32_t I __attribute__((vector_size(16)));
  static constexpr int kLanes = 4;
  static constexpr int kColumns = 2;
  static constexpr int kUnitValues = 1;

  static F Zero() { return F{}; }
  static F Set1(float x) { return F{x, x, x, x}; }
  static void KeepInRegister(F&) {}
  static F Load(const float* p) { return LoadUnits(reinterpret_cast<const char*>(p)); }
  static F LoadUnits(const char* p) {
    F x;
    __builtin_memcpy(&x, p, sizeof(x));
    return x;
  }
  static void Store(float* p, F x) { __builtin_memcpy(p, &x, sizeof(x)); }
  static F Add(F a, F b) { return a + b; }
  static F Sub(F a, F b) { return a - b; }
  static F Mul(F a, F b) { return a * b; }
  static F Div(F a, F b) { return a / b; }
  static F Fma(F a, F b, F c) { return a * b + c; }  // two roundings
  // The product is exact and its cancellation with c too, for the arguments of exponentials.
  static F CancellingFma(F a, F b, F c) {
    typedef double D __attribute__((vector_size(32)));
    const D sum = __builtin_convertvector(a, D) * __builtin_convertvector(b, D) +
                  __builtin_convertvector(c, D);
    return __builtin_convertvector(sum, F);
  }
  static F Max(F a, F b) { return a > b ? a : b; }

  // For Exp2, as in vector_avx2-inl.h; a whole x may count as the one below it, with the
  // fraction 1.
  static F Floor(F x) {
    const F clamped = Max(Set1(-127.0f), x);
    const F below = (clamped - Set1(0.5f)) + Set1(0x1.8p+23f) - Set1(0x1.8p+23f);
    return clamped > Set1(-127.0f) ? below : clamped;
  }
  static F Fraction(F x) { return Max(Set1(-127.0f), x) - Floor(x); }
  static F TimesPowerOf2(F x, F n) {
    const F magic = Set1(0x1.8p+23f);
    const F t = Floor(n) + magic;
    const I shift = reinterpret_cast<I>(t < magic ? t : magic) << 23;
    return reinterpret_cast<F>(reinterpret_cast<I>(x) + shift);
  }
  static F ReplaceEqual(F x, F c, F y) { return x == c ? y : x; }
  static F ReplaceLess(F x, F a, F b, F y) { return a < b ? y : x; }

  static F BroadcastUnit(const char* p) {
    float x;
    __builtin_memcpy(&x, p, sizeof(x));
    return Set1(x);
  }
  static F Dot(F sum, F a, F b) { return a * b + sum; }
  static void StoreUnits(float* to, const F (&rows)[1]) { Store(to, rows[0]); }

  template <class Row>
  [[gnu::always_inline]] static inline void Transpose(Row row, float* to, int64_t to_stride) {
    const F r[4] = {row(0), row(1), row(2), row(3)};
    for (int i = 0; i < 4; ++i) Store(to + i * to_stride, F{r[0][i], r[1][i], r[2][i], r[3][i]});
  }

  static F LoadBf16(const uint16_t* p) {
    return reinterpret_cast<F>(I{p[0] << 16, p[1] << 16, p[2] << 16, p[3] << 16});
  }
  static void StoreBf16(uint16_t* p, F x) {
    for (int i = 0; i < 4; ++i) {
      uint32_t bits;
      const float value = x[i];
      __builtin_memcpy(&bits, &value, sizeof(bits));
      const uint32_t magnitude = bits & 0x7FFFFFFFu;
      uint32_t y = bits + 0x7FFFu + ((bits >> 16) & 1u);
      if (magnitude < 0x00800000u) y = bits & 0x80000000u;
      if (magnitude > 0x7F800000u) y = 0x7FC00000u;
      p[i] = static_cast<uint16_t>(y >> 16);
    }
  }
};

}  // namespace
}  // namespace suffice::cpu
