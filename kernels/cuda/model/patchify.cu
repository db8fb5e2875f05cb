// SPDX-License-Identifier: Apache-2.0
// Video <-> tokens. Neighbouring threads have neighbouring values of a token; the pixels of
// neighbouring tokens meet in the cache.
#include "kernels/cuda/launch.h"
#include "kernels/cuda/model/launch_model.h"
#include "kernels/cuda/model/values.h"

namespace suffice::cuda {
namespace {

constexpr int64_t kMostCtas = int64_t{1} << 20;

struct PatchArgs {
  void *video, *tokens;
  const int32_t* order;        // null: raster order
  int64_t strides[5];          // of the video: B, C, F, Y, X
  int64_t count, token_count;  // values; tokens of a video
  uint32_t values;             // of a token
  uint32_t channels, pf, py, px;
  uint32_t grid_y, grid_x;
};

__device__ inline void Move(const float& from, float& to) { to = from; }
__device__ inline void Move(const BFloat16& from, float& to) { to = ToFloat(from); }
__device__ inline void Move(const float& from, BFloat16& to) { to = ToBFloat16(from); }
__device__ inline void Move(const BFloat16& from, BFloat16& to) { to = ToBFloat16(ToFloat(from)); }

template <class Video, class Token, bool kInverse>
__global__ void __launch_bounds__(kModelThreads) Patchify(const __grid_constant__ PatchArgs a) {
  const int64_t step = int64_t{gridDim.x} * kModelThreads;
  for (int64_t i = int64_t{blockIdx.x} * kModelThreads + threadIdx.x; i < a.count; i += step) {
    const int64_t token = i / a.values;
    auto value = static_cast<uint32_t>(i - token * a.values);
    const int64_t b = token / a.token_count, n = token - b * a.token_count;
    const auto raster = static_cast<uint32_t>(a.order == nullptr ? n : a.order[n]);
    const uint32_t c = value % a.channels;
    value /= a.channels;
    const uint32_t dx = value % a.px;
    value /= a.px;
    const uint32_t dy = value % a.py, df = value / a.py;
    const uint32_t line = raster / a.grid_x;
    const int64_t f = int64_t{line / a.grid_y} * a.pf + df;
    const int64_t y = int64_t{line % a.grid_y} * a.py + dy;
    const int64_t x = int64_t{raster % a.grid_x} * a.px + dx;
    Video& pixel =
        static_cast<Video*>(a.video)[b * a.strides[0] + c * a.strides[1] + f * a.strides[2] +
                                     y * a.strides[3] + x * a.strides[4]];
    Token& own = static_cast<Token*>(a.tokens)[i];
    if constexpr (kInverse) {
      Move(own, pixel);
    } else {
      Move(pixel, own);
    }
  }
}

}  // namespace

void LaunchPatchify(const PatchifyParams& p, cudaStream_t stream) {
  PatchArgs a{};
  a.video = p.video.data;
  a.tokens = p.tokens.data;
  a.order = static_cast<const int32_t*>(p.order.data);
  for (int axis = 0; axis < 5; ++axis) a.strides[axis] = p.video.stride(axis);
  a.count = p.tokens.shape.elements();
  a.token_count = p.tokens.dim(1);
  a.values = static_cast<uint32_t>(p.tokens.dim(2));
  a.channels = static_cast<uint32_t>(p.video.dim(1));
  a.pf = static_cast<uint32_t>(p.patch[0]);
  a.py = static_cast<uint32_t>(p.patch[1]);
  a.px = static_cast<uint32_t>(p.patch[2]);
  a.grid_y = static_cast<uint32_t>(p.video.dim(3) / p.patch[1]);
  a.grid_x = static_cast<uint32_t>(p.video.dim(4) / p.patch[2]);
  if (a.count == 0) return;
  const int64_t ctas = std::min((a.count + kModelThreads - 1) / kModelThreads, kMostCtas);
  WithType(p.video.dtype == DType::kBF16, [&](auto video) {
    WithType(p.tokens.dtype == DType::kBF16, [&](auto token) {
      using Video = decltype(video);
      using Token = decltype(token);
      if (p.inverse) {
        Patchify<Video, Token, true><<<static_cast<unsigned>(ctas), kModelThreads, 0, stream>>>(a);
      } else {
        Patchify<Video, Token, false><<<static_cast<unsigned>(ctas), kModelThreads, 0, stream>>>(a);
      }
    });
  });
  CheckLaunch("patchify");
}

}  // namespace suffice::cuda
