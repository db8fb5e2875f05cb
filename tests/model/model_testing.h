// SPDX-License-Identifier: Apache-2.0
// A model small enough for the reference backend, and clips for it.
#pragma once

#include "lib/base/philox.h"
#include "lib/model/flow_trainer.h"

namespace suffice::testing {

inline VideoDitConfig TinyConfig() {
  VideoDitConfig c;
  c.in_channels = 2;
  c.patch = {1, 2, 2};
  c.width = 16;
  c.depth = 2;
  c.heads = 2;
  c.mlp_ratio = 2;
  c.classes = 3;
  c.time_features = 8;
  c.tile = {2, 2, 2};
  return c;
}

inline HostArray RandomClips(int64_t batch, uint64_t seed) {
  HostArray clips(DType::kF32, {batch, 2, 4, 6, 4});  // 4 x 3 x 2 = 24 tokens
  uint64_t i = 0;
  for (float& x : clips.values<float>()) {
    x = NormalAt(seed, static_cast<uint32_t>(Stream::kTest), i++);
  }
  return clips;
}

// A parameter set whose gates and last layer are not zero, as after some training.
inline void Stir(VideoDit& model, uint64_t seed) {
  std::vector<NamedArray> arrays = model.parameters().Export();
  uint64_t i = 0;
  for (NamedArray& named : arrays) {
    for (float& x : named.array.values<float>()) {
      x += 0.2f * NormalAt(seed, static_cast<uint32_t>(Stream::kTest), i++);
    }
  }
  model.parameters().Import(arrays, "stir");
}

inline bool SameBits(const HostArray& a, const HostArray& b) {
  return a.bytes() == b.bytes() && std::equal(a.data(), a.data() + a.bytes(), b.data());
}
inline bool SameBits(const std::vector<NamedArray>& a, const std::vector<NamedArray>& b) {
  for (size_t i = 0; i < a.size() && i < b.size(); ++i) {
    if (a[i].name != b[i].name || !SameBits(a[i].array, b[i].array)) return false;
  }
  return a.size() == b.size();
}

}  // namespace suffice::testing
