// SPDX-License-Identifier: Apache-2.0
#include "kernels/ref/access.h"
#include "kernels/ref/model_ops_ref.h"

namespace suffice::ref {
namespace {

// An id outside the table reads and writes nothing of it: the row is zero.
void Embed(Context&, const EmbedParams& p, void*) {
  for (int64_t r = 0; r < p.ids.dim(0); ++r) {
    const int32_t id = *p.ids.ptr<int32_t>({r});
    const bool known = id >= 0 && id < p.table.dim(0);
    for (int64_t j = 0; j < p.out.dim(1); ++j) {
      Set(p.out, {r, j}, known ? Get(p.table, {id, j}) : 0.0);
    }
  }
}

void EmbedBackward(Context&, const EmbedBackwardParams& p, void*) {
  for (int64_t r = 0; r < p.ids.dim(0); ++r) {
    const int32_t id = *p.ids.ptr<int32_t>({r});
    if (id < 0 || id >= p.d_table.dim(0)) continue;
    for (int64_t j = 0; j < p.d_table.dim(1); ++j) Add(p.d_table, {id, j}, Get(p.d_out, {r, j}));
  }
}

void TimeFeatures(Context&, const TimeFeaturesParams& p, void*) {
  const int64_t half = p.out.dim(1) / 2;
  for (int64_t r = 0; r < p.t.dim(0); ++r) {
    for (int64_t i = 0; i < half; ++i) {
      const double w = std::pow(10000.0, -static_cast<double>(i) / static_cast<double>(half));
      const double angle = 1000.0 * Get(p.t, {r}) * w;
      Set(p.out, {r, i}, std::cos(angle));
      Set(p.out, {r, half + i}, std::sin(angle));
    }
  }
}

void Patchify(Context&, const PatchifyParams& p, void*) {
  const int64_t channels = p.video.dim(1);
  const int64_t py = p.patch[1], px = p.patch[2], pf = p.patch[0];
  const int64_t grid_y = p.video.dim(3) / py, grid_x = p.video.dim(4) / px;
  for (int64_t b = 0; b < p.tokens.dim(0); ++b) {
    for (int64_t n = 0; n < p.tokens.dim(1); ++n) {
      const int64_t raster = p.order.empty() ? n : *p.order.ptr<int32_t>({n});
      const int64_t f = raster / (grid_y * grid_x) * pf;
      const int64_t y = raster / grid_x % grid_y * py;
      const int64_t x = raster % grid_x * px;
      for (int64_t i = 0; i < p.tokens.dim(2); ++i) {
        const int64_t c = i % channels, dx = i / channels % px;
        const int64_t dy = i / (channels * px) % py, df = i / (channels * px * py);
        if (p.inverse) {
          Set(p.video, {b, c, f + df, y + dy, x + dx}, Get(p.tokens, {b, n, i}));
        } else {
          Set(p.tokens, {b, n, i}, Get(p.video, {b, c, f + df, y + dy, x + dx}));
        }
      }
    }
  }
}

}  // namespace

void AddEmbed(Backend& backend) {
  backend.embed = Plain(&Embed);
  backend.embed_backward = Plain(&EmbedBackward);
  backend.time_features = Plain(&TimeFeatures);
  backend.patchify = Plain(&Patchify);
}

}  // namespace suffice::ref
