// SPDX-License-Identifier: Apache-2.0
// Sixteen fp32 lanes in GCC's vector types: one 512-bit register, two of 256 bits or four of 128,
// as the flags of the including file allow. Included inside a namespace of its own per instruction
// set; everything is static and inlined, so that no function compiled for one set is linked into
// another.
//
// With FMA, -ffp-contract=fast fuses a * b + c as written here; without it the two roundings differ
// in the last bit. Nothing in these files belongs to the numbers that must be equal everywhere.

#define SUFFICE_INLINE static inline __attribute__((always_inline))

typedef float Lanes __attribute__((vector_size(64)));
typedef uint32_t Bits __attribute__((vector_size(64)));
typedef int32_t Ints __attribute__((vector_size(64)));
typedef uint16_t Halves __attribute__((vector_size(32)));
typedef float LooseLanes __attribute__((vector_size(64), aligned(4), may_alias));
typedef uint16_t LooseHalves __attribute__((vector_size(32), aligned(2), may_alias));
constexpr int64_t kLanes = 16;

SUFFICE_INLINE Lanes Splat(float x) { return Lanes{} + x; }

SUFFICE_INLINE Halves RoundToBf16(Lanes x) {
  // ToBFloat16 of lib/base/dtype.h, lane by lane.
  const Bits bits = (Bits)x;
  const Bits magnitude = bits & 0x7FFFFFFFu;
  Bits rounded = (bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16;
  rounded = magnitude < 0x00800000u ? ((bits >> 16) & 0x8000u) : rounded;
  rounded = magnitude > 0x7F800000u ? (Bits{} + 0x7FC0u) : rounded;
  return __builtin_convertvector(rounded, Halves);
}

struct F32 {
  typedef float Element;
  SUFFICE_INLINE Lanes Load(const float* p) { return *(const LooseLanes*)p; }
  SUFFICE_INLINE void Store(float* p, Lanes x) { *(LooseLanes*)p = x; }
};
struct Bf16 {
  typedef uint16_t Element;
  SUFFICE_INLINE Lanes Load(const uint16_t* p) {
    const Halves halves = *(const LooseHalves*)p;
    return (Lanes)(__builtin_convertvector(halves, Bits) << 16);
  }
  SUFFICE_INLINE void Store(uint16_t* p, Lanes x) { *(LooseHalves*)p = RoundToBf16(x); }
};

// `count` < 16 elements; the other lanes read as zero and are not written.
template <class T>
SUFFICE_INLINE Lanes LoadSome(const typename T::Element* p, int64_t count) {
  typename T::Element buffer[kLanes] = {};
  for (int64_t i = 0; i < count; ++i) buffer[i] = p[i];
  return T::Load(buffer);
}
template <class T>
SUFFICE_INLINE void StoreSome(typename T::Element* p, Lanes x, int64_t count) {
  typename T::Element buffer[kLanes];
  T::Store(buffer, x);
  for (int64_t i = 0; i < count; ++i) p[i] = buffer[i];
}

// A typed pointer whose reads and writes may stop short of sixteen lanes.
template <class T>
struct Span {
  typename T::Element* p;
  explicit Span(const Floats& floats) : p((typename T::Element*)floats.data) {}
  explicit Span(const void* data) : p((typename T::Element*)data) {}
  SUFFICE_INLINE_MEMBER Lanes Read(int64_t i, int64_t left) const {
    return left >= kLanes ? T::Load(p + i) : LoadSome<T>(p + i, left);
  }
  SUFFICE_INLINE_MEMBER void Write(int64_t i, int64_t left, Lanes x) const {
    left >= kLanes ? T::Store(p + i, x) : StoreSome<T>(p + i, x, left);
  }
  SUFFICE_INLINE_MEMBER explicit operator bool() const { return p != nullptr; }
};

SUFFICE_INLINE float SumLanes(Lanes x) {
  float v[kLanes];
  F32::Store(v, x);
  for (int64_t width = kLanes / 2; width > 0; width /= 2) {
    for (int64_t i = 0; i < width; ++i) v[i] += v[i + width];
  }
  return v[0];
}
SUFFICE_INLINE double SumLanesWide(Lanes x) {
  float v[kLanes];
  F32::Store(v, x);
  double sum = 0.0;
  for (int64_t i = 0; i < kLanes; ++i) sum += (double)v[i];
  return sum;
}
// `x` with the lanes from `count` on set to zero.
SUFFICE_INLINE Lanes Keep(Lanes x, int64_t count) {
  const Ints lane = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  return lane < (Ints{} + (int32_t)(count < kLanes ? count : kLanes)) ? x : Lanes{};
}

SUFFICE_INLINE Lanes SqrtLanes(Lanes x) {
  Lanes y;
  for (int64_t i = 0; i < kLanes; ++i) y[i] = __builtin_sqrtf(x[i]);
  return y;
}

// e^x to about 2 ulp on [-87, 88], clamped outside; x = n ln 2 + r, |r| <= ln 2 / 2, and Cephes'
// polynomial for e^r.
SUFFICE_INLINE Lanes ExpLanes(Lanes x) {
  x = x < Splat(-87.0f) ? Splat(-87.0f) : x;
  x = x > Splat(88.0f) ? Splat(88.0f) : x;
  const Lanes shifted = x * 1.44269504f + 12582912.0f;  // 1.5 * 2^23: rounds to an integer
  const Ints n = (Ints)shifted - 0x4B400000;
  const Lanes whole = shifted - 12582912.0f;
  Lanes r = x - whole * 0.693359375f;
  r = r - whole * -2.12194440e-4f;
  Lanes p = Splat(1.9875691500e-4f);
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * (r * r) + r + 1.0f;
  return p * (Lanes)((n + 127) << 23);
}
SUFFICE_INLINE Lanes SigmoidLanes(Lanes x) { return 1.0f / (1.0f + ExpLanes(-x)); }
