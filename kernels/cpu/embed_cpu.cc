// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <cstring>

#include "kernels/cpu/model_ops_cpu.h"

namespace suffice::cpu {
namespace {

// Tables are read a few rows a step: no threads.
void Embed(Context& context, const EmbedParams& p, void*) {
  const RowKernels& kernels = RowKernelsFor(context);
  for (int64_t r = 0; r < p.ids.dim(0); ++r) {
    const int32_t id = *p.ids.ptr<int32_t>({r});
    if (id >= 0 && id < p.table.dim(0)) {
      kernels.axpby(p.out.dim(1), 1.0f, RowOf(p.table, id), 0.0f, {}, RowOf(p.out, r));
    } else {
      std::memset(RowOf(p.out, r).data, 0, static_cast<size_t>(p.out.dim(1)) * SizeOf(p.out.dtype));
    }
  }
}

void EmbedBackward(Context& context, const EmbedBackwardParams& p, void*) {
  const RowKernels& kernels = RowKernelsFor(context);
  for (int64_t r = 0; r < p.ids.dim(0); ++r) {
    const int32_t id = *p.ids.ptr<int32_t>({r});
    if (id < 0 || id >= p.d_table.dim(0)) continue;
    kernels.add_row(p.d_table.dim(1), RowOf(p.d_out, r), p.d_table.ptr<float>({id, 0}));
  }
}

void TimeFeatures(Context& context, const TimeFeaturesParams& p, void*) {
  const RowKernels& kernels = RowKernelsFor(context);
  const int64_t half = p.out.dim(1) / 2;
  context.pool().ParallelFor(p.t.dim(0), 1, [&](int64_t r, int) {
    for (int64_t i = 0; i < half; ++i) {
      const double w = std::pow(10000.0, -static_cast<double>(i) / static_cast<double>(half));
      const double angle = 1000.0 * double{*p.t.ptr<float>({r})} * w;
      float c = static_cast<float>(std::cos(angle)), s = static_cast<float>(std::sin(angle));
      kernels.axpby(1, 1.0f, {&c, DType::kF32}, 0.0f, {}, RowOf(p.out, r) + i);
      kernels.axpby(1, 1.0f, {&s, DType::kF32}, 0.0f, {}, RowOf(p.out, r) + (half + i));
    }
  });
}

float Read(const float& x) { return x; }
float Read(const BFloat16& x) { return ToFloat(x); }
void Write(float& to, float x) { to = x; }
void Write(BFloat16& to, float x) { to = ToBFloat16(x); }

// A task is one token; its values are gathered or scattered in the order (pf, py, px, C).
template <class Video, class Token>
void Move(Context& context, const PatchifyParams& p) {
  const int64_t channels = p.video.dim(1), tokens = p.tokens.dim(1);
  const int64_t grid_y = p.video.dim(3) / p.patch[1], grid_x = p.video.dim(4) / p.patch[2];
  context.pool().ParallelFor(p.tokens.dim(0) * tokens, 64, [&](int64_t task, int) {
    const int64_t b = task / tokens, n = task % tokens;
    const int64_t raster = p.order.empty() ? n : *p.order.ptr<int32_t>({n});
    const int64_t f0 = raster / (grid_y * grid_x) * p.patch[0];
    const int64_t y0 = raster / grid_x % grid_y * p.patch[1], x0 = raster % grid_x * p.patch[2];
    Token* token = p.tokens.ptr<Token>({b, n, 0});
    for (int64_t f = f0; f < f0 + p.patch[0]; ++f) {
      for (int64_t y = y0; y < y0 + p.patch[1]; ++y) {
        for (int64_t x = x0; x < x0 + p.patch[2]; ++x) {
          Video* pixel = p.video.ptr<Video>({b, 0, f, y, x});
          for (int64_t c = 0; c < channels; ++c, ++token, pixel += p.video.stride(1)) {
            if (p.inverse) {
              Write(*pixel, Read(*token));
            } else {
              Write(*token, Read(*pixel));
            }
          }
        }
      }
    }
  });
}

void Patchify(Context& context, const PatchifyParams& p, void*) {
  const bool video = p.video.dtype == DType::kBF16, tokens = p.tokens.dtype == DType::kBF16;
  if (video && tokens) return Move<BFloat16, BFloat16>(context, p);
  if (video) return Move<BFloat16, float>(context, p);
  if (tokens) return Move<float, BFloat16>(context, p);
  return Move<float, float>(context, p);
}

}  // namespace

void AddEmbed(Backend& backend) {
  backend.embed = Plain(&Embed);
  backend.embed_backward = Plain(&EmbedBackward);
  backend.time_features = Plain(&TimeFeatures);
  backend.patchify = Plain(&Patchify);
}

}  // namespace suffice::cpu
