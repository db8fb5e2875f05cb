// SPDX-License-Identifier: Apache-2.0
// Counter-based random numbers: Philox4x32-10 of Salmon et al., "Parallel random numbers: as easy
// as 1, 2, 3" (SC 2011), keyed by (seed, stream) and indexed by a counter. The value at an index
// does not depend on who computes it, so noise is the same on every backend and with any number of
// threads.
//
// Normal deviates come from the inverse distribution function, by Giles' single-precision
// polynomial for erfinv ("Approximating the erfinv function", GPU Computing Gems, 2011) over a
// logarithm that is a polynomial too. Every multiply-add is an explicit fma, so the bits are the
// same everywhere, on a GPU too.
#pragma once

#include <array>
#include <bit>
#include <cmath>
#include <cstdint>

#include "lib/base/shared_inline.h"

namespace suffice {

// Streams name independent uses of one seed.
enum class Stream : uint32_t {
  kNoise = 1,
  kTime = 2,
  kData = 3,
  kInit = 4,
  kSplit = 5,
  kDropout = 6,
  kTest = 7,
  kMixture = 8,
  kResample = 9,
  kProjection = 10,
  kPatch = 11,
  kMotion = 12
};

SUFFICE_SHARED_INLINE std::array<uint32_t, 4> Philox(uint64_t seed, uint32_t stream,
                                                     uint64_t index) {
  std::array<uint32_t, 4> c = {static_cast<uint32_t>(index), static_cast<uint32_t>(index >> 32),
                               stream, 0};
  uint32_t k0 = static_cast<uint32_t>(seed);
  uint32_t k1 = static_cast<uint32_t>(seed >> 32);
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = uint64_t{0xD2511F53u} * c[0];
    const uint64_t p1 = uint64_t{0xCD9E8D57u} * c[2];
    c = {static_cast<uint32_t>(p1 >> 32) ^ c[1] ^ k0, static_cast<uint32_t>(p1),
         static_cast<uint32_t>(p0 >> 32) ^ c[3] ^ k1, static_cast<uint32_t>(p0)};
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return c;
}

// In (0, 1), a multiple of 2^-24 and never an end point.
SUFFICE_SHARED_INLINE float UniformFromBits(uint32_t bits) {
  return static_cast<float>(2 * (bits >> 9) + 1) * 0x1p-24f;
}

// Natural logarithm of a normal positive x, relative error below 1e-6 away from 1.
SUFFICE_SHARED_INLINE float StatedLog(float x) {
  uint32_t bits = std::bit_cast<uint32_t>(x);
  int exponent = static_cast<int>(bits >> 23) - 126;
  float m = std::bit_cast<float>((bits & 0x007FFFFFu) | 0x3F000000u);  // in [0.5, 1)
  if (m < 0.70710678f) {
    m = m + m;
    --exponent;
  }
  const float r = m - 1.0f;
  float p = 7.0376836292e-2f;
  p = std::fma(p, r, -1.1514610310e-1f);
  p = std::fma(p, r, 1.1676998740e-1f);
  p = std::fma(p, r, -1.2420140846e-1f);
  p = std::fma(p, r, 1.4249322787e-1f);
  p = std::fma(p, r, -1.6668057665e-1f);
  p = std::fma(p, r, 2.0000714765e-1f);
  p = std::fma(p, r, -2.4999993993e-1f);
  p = std::fma(p, r, 3.3333331174e-1f);
  const float r2 = r * r;
  float y = (p * r2) * r;
  const float e = static_cast<float>(exponent);
  y = std::fma(e, -2.12194440e-4f, y);
  y = std::fma(r2, -0.5f, y);
  y = y + r;
  return std::fma(e, 0.693359375f, y);
}

// The standard normal deviate whose distribution function is u = UniformFromBits(bits).
SUFFICE_SHARED_INLINE float NormalFromBits(uint32_t bits) {
  const float x =
      static_cast<float>(static_cast<int32_t>(2 * (bits >> 9) + 1) - (1 << 23)) * 0x1p-23f;
  const float w = -StatedLog((1.0f - x) * (1.0f + x));
  float p;
  if (w < 5.0f) {
    const float t = w - 2.5f;
    p = 2.81022636e-08f;
    p = std::fma(p, t, 3.43273939e-07f);
    p = std::fma(p, t, -3.5233877e-06f);
    p = std::fma(p, t, -4.39150654e-06f);
    p = std::fma(p, t, 0.00021858087f);
    p = std::fma(p, t, -0.00125372503f);
    p = std::fma(p, t, -0.00417768164f);
    p = std::fma(p, t, 0.246640727f);
    p = std::fma(p, t, 1.50140941f);
  } else {
    const float t = std::sqrt(w) - 3.0f;
    p = -0.000200214257f;
    p = std::fma(p, t, 0.000100950558f);
    p = std::fma(p, t, 0.00134934322f);
    p = std::fma(p, t, -0.00367342844f);
    p = std::fma(p, t, 0.00573950773f);
    p = std::fma(p, t, -0.0076224613f);
    p = std::fma(p, t, 0.00943887047f);
    p = std::fma(p, t, 1.00167406f);
    p = std::fma(p, t, 2.83297682f);
  }
  return 1.41421356f * (p * x);
}

// Element `index` of the normal stream (seed, stream): four elements share one Philox block.
SUFFICE_SHARED_INLINE float NormalAt(uint64_t seed, uint32_t stream, uint64_t index) {
  return NormalFromBits(Philox(seed, stream, index >> 2)[index & 3]);
}
SUFFICE_SHARED_INLINE float UniformAt(uint64_t seed, uint32_t stream, uint64_t index) {
  return UniformFromBits(Philox(seed, stream, index >> 2)[index & 3]);
}

}  // namespace suffice
