// SPDX-License-Identifier: Apache-2.0
// The gradient of normalisation and rotation. With y = R(x r w), r = 1 / rms(x): g = R^T dy,
// dw = sum g x r, and dx = r (g w) - x r^3 / D sum(g w x).
//
// A team of lanes owns a head of one token, each lane eight features of it, and walks heads of
// tokens with its share of dw in registers. Heads that are longer, not aligned or not a multiple of
// eight take the plain form: a warp a head, one pair of features a lane at a time, dw in memory.
#include "kernels/cuda/launch.h"
#include "kernels/cuda/model/column_sums.h"
#include "kernels/cuda/model/launch_model.h"
#include "kernels/cuda/model/values.h"

namespace suffice::cuda {
namespace {

constexpr unsigned kAllLanes = 0xFFFFFFFFu;
constexpr int kMostDim = 32 * kPiece;  // of the fast form
constexpr int64_t kMostCtas = 1024;    // each makes one partial sum of dw
constexpr int64_t kPlainCtas = 128;
constexpr int kWarps = kModelThreads / 32;

struct RopeBackwardArgs {
  Rows in, d_out, d_in;  // without a stride: the strides follow
  Rows weight;           // not given: no normalisation
  const float *rrms, *cos, *sin;
  float* partials;  // null: dw is not wanted
  int64_t in_batch, in_token, in_head;
  int64_t out_batch, out_head, out_token;  // of d_out
  int64_t to_batch, to_token, to_head;     // of d_in
  int64_t rows;                            // heads of tokens, less than 2^31
  int heads, tokens, dim;
};

// One head of one token; heads follow each other as they do in memory.
struct Head {
  int64_t in, d_out, d_in, rrms, angles;  // offsets in elements
  __device__ Head(const RopeBackwardArgs& a, int64_t row) {
    const auto index = static_cast<unsigned>(row);
    const unsigned token = index / static_cast<unsigned>(a.heads);
    const int64_t h = index - token * static_cast<unsigned>(a.heads);
    const int64_t b = token / static_cast<unsigned>(a.tokens);
    const int64_t n = token - b * a.tokens;
    in = b * a.in_batch + n * a.in_token + h * a.in_head;
    d_out = b * a.out_batch + h * a.out_head + n * a.out_token;
    d_in = b * a.to_batch + n * a.to_token + h * a.to_head;
    rrms = (b * a.heads + h) * a.tokens + n;
    angles = n * (a.dim / 2);
  }
};

template <class T, int kLanes>
__global__ void __launch_bounds__(kModelThreads)
    RopeBackward(const __grid_constant__ RopeBackwardArgs a) {
  constexpr int kTeams = kModelThreads / kLanes;
  __shared__ float shared[kPiece][kModelThreads];
  const int team = static_cast<int>(threadIdx.x) / kLanes;
  const int d0 = static_cast<int>(threadIdx.x) % kLanes * kPiece;
  const int64_t left = a.dim > d0 ? kPiece : 0;  // of this lane: all or nothing
  const bool norms = a.weight.data != nullptr;
  float weight[kPiece] = {}, sums[kPiece] = {};
  if (norms) ReadAny<kPiece>(a.weight, 0, d0, left, weight);
  const int64_t step = int64_t{gridDim.x} * kTeams;
  for (int64_t first = int64_t{blockIdx.x} * kTeams; first < a.rows; first += step) {
    // Teams beyond the last row do its work again, and keep it to themselves.
    const bool exists = first + team < a.rows;
    const Head head(a, min(first + team, a.rows - 1));
    float g[kPiece], x[kPiece];
    Read<kPiece>(static_cast<const T*>(a.d_out.data) + head.d_out + d0, left, g);
    if (norms) Read<kPiece>(static_cast<const T*>(a.in.data) + head.in + d0, left, x);
    if (a.cos != nullptr) {
      float c[kPiece / 2], s[kPiece / 2];
      Read<kPiece / 2>(a.cos + head.angles + d0 / 2, left / 2, c);
      Read<kPiece / 2>(a.sin + head.angles + d0 / 2, left / 2, s);
#pragma unroll
      for (int d = 0; d < kPiece; d += 2) {
        const float even = g[d], odd = g[d + 1];
        g[d] = even * c[d / 2] + odd * s[d / 2];
        g[d + 1] = odd * c[d / 2] - even * s[d / 2];
      }
    }
    if (norms) {
      const float r = a.rrms[head.rrms];
      float product = 0.0f;
#pragma unroll
      for (int d = 0; d < kPiece; ++d) {
        if (exists) sums[d] = fmaf(g[d], x[d] * r, sums[d]);
        g[d] *= weight[d];
        product = fmaf(g[d], x[d], product);
      }
#pragma unroll
      for (int lanes = kLanes / 2; lanes > 0; lanes /= 2) {
        product += __shfl_xor_sync(kAllLanes, product, lanes);
      }
      const float pull = r * r * r * (product / static_cast<float>(a.dim));
#pragma unroll
      for (int d = 0; d < kPiece; ++d) g[d] = r * g[d] - x[d] * pull;
    }
    if (exists) Write<kPiece>(static_cast<T*>(a.d_in.data) + head.d_in + d0, left, g);
  }
  if (a.partials == nullptr) return;
#pragma unroll
  for (int d = 0; d < kPiece; ++d) shared[d][threadIdx.x] = sums[d];
  __syncthreads();
  const int feature = static_cast<int>(threadIdx.x);
  if (feature >= a.dim) return;
  float sum = 0.0f;
  for (int t = 0; t < kTeams; ++t) sum += shared[feature % kPiece][t * kLanes + feature / kPiece];
  a.partials[int64_t{blockIdx.x} * a.dim + feature] = sum;
}

// One warp a head, one partial sum of dw a warp.
template <class T>
__global__ void __launch_bounds__(kModelThreads)
    PlainRopeBackward(const __grid_constant__ RopeBackwardArgs a) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int64_t warp = int64_t{blockIdx.x} * kWarps + threadIdx.x / 32;
  const bool norms = a.weight.data != nullptr;
  float* partials = a.partials == nullptr ? nullptr : a.partials + warp * a.dim;
  // Features 2 lane, 2 lane + 1 and so on are this lane's alone.
  for (int d = 2 * lane; partials != nullptr && d < a.dim; d += 64) {
    partials[d] = 0.0f;
    if (d + 1 < a.dim) partials[d + 1] = 0.0f;
  }
  for (int64_t row = warp; row < a.rows; row += int64_t{gridDim.x} * kWarps) {
    const Head head(a, row);
    const T* in = static_cast<const T*>(a.in.data) + head.in;
    const T* d_out = static_cast<const T*>(a.d_out.data) + head.d_out;
    T* d_in = static_cast<T*>(a.d_in.data) + head.d_in;
    const auto gradient = [&](int d, int width, float(&g)[2]) {
      g[0] = ToFloat(d_out[d]);
      g[1] = width > 1 ? ToFloat(d_out[d + 1]) : 0.0f;
      if (a.cos == nullptr || width < 2) return;
      const float c = a.cos[head.angles + d / 2], s = a.sin[head.angles + d / 2];
      const float even = g[0], odd = g[1];
      g[0] = even * c + odd * s;
      g[1] = odd * c - even * s;
    };
    const auto weight_at = [&](int d) {
      float w[1];
      ReadAny<1>(a.weight, 0, d, 1, w);
      return w[0];
    };
    float r = 1.0f, pull = 0.0f;
    if (norms) {
      r = a.rrms[head.rrms];
      float product = 0.0f;
      for (int d = 2 * lane; d < a.dim; d += 64) {
        const int width = min(2, a.dim - d);
        float g[2];
        gradient(d, width, g);
        for (int o = 0; o < width; ++o) {
          const float x = ToFloat(in[d + o]);
          if (partials != nullptr) partials[d + o] += g[o] * (x * r);
          product = fmaf(g[o] * weight_at(d + o), x, product);
        }
      }
#pragma unroll
      for (int lanes = 16; lanes > 0; lanes /= 2) {
        product += __shfl_xor_sync(kAllLanes, product, lanes);
      }
      pull = r * r * r * (product / static_cast<float>(a.dim));
    }
    for (int d = 2 * lane; d < a.dim; d += 64) {
      const int width = min(2, a.dim - d);
      float g[2];
      gradient(d, width, g);
      for (int o = 0; o < width; ++o) {
        if (norms) g[o] = r * (g[o] * weight_at(d + o)) - ToFloat(in[d + o]) * pull;
        const float y[1] = {g[o]};
        Write<1>(d_in + d + o, 1, y);
      }
    }
  }
}

Rows PlainRows(const View& v) { return {v.data, 0, v.dtype == DType::kBF16}; }

// Whether heads start at multiples of 16 bytes and end with a whole piece.
bool IsFast(const QkSideBackward& s, const QkNormRopeBackwardParams& p) {
  const int64_t dim = s.in.dim(3);
  bool fast = dim <= kMostDim && dim % kPiece == 0 && dim > 0;
  for (const View* v : {&s.in, &s.d_out, &s.d_in}) {
    for (int axis = 0; axis < 3; ++axis) {
      const int64_t stride = v->dim(axis) > 1 ? v->stride(axis) : 0;
      fast = fast && Aligned({Rows{v->data, stride, v->dtype == DType::kBF16}});
    }
  }
  return fast && Aligned({PlainRows(s.weight), PlainRows(p.cos), PlainRows(p.sin)});
}

int64_t RowsOfSide(const QkSideBackward& s) { return s.in.dim(0) * s.in.dim(1) * s.in.dim(2); }

int64_t LanesOf(int64_t dim) {
  int64_t lanes = 4;
  while (lanes * kPiece < dim) lanes *= 2;
  return lanes;
}

struct Extent {
  int64_t ctas, partials;
  Extent(const QkSideBackward& s, const QkNormRopeBackwardParams& p) {
    const bool fast = IsFast(s, p);
    const int64_t teams = fast ? kModelThreads / LanesOf(s.in.dim(3)) : kWarps;
    ctas = std::min((RowsOfSide(s) + teams - 1) / teams, fast ? kMostCtas : kPlainCtas);
    partials = fast ? ctas : ctas * kWarps;
  }
};

bool WantsSums(const QkSideBackward& s) {
  return !s.in.empty() && !s.weight.empty() && !s.d_weight.empty();
}

int64_t Partials(const QkSideBackward& s, const QkNormRopeBackwardParams& p) {
  return WantsSums(s) ? Extent(s, p).partials * s.in.dim(3) : 0;
}

template <class T>
void LaunchTyped(const RopeBackwardArgs& a, bool fast, unsigned ctas, cudaStream_t stream) {
  const int64_t lanes = LanesOf(a.dim);
  if (!fast) {
    PlainRopeBackward<T><<<ctas, kModelThreads, 0, stream>>>(a);
  } else if (lanes == 4) {
    RopeBackward<T, 4><<<ctas, kModelThreads, 0, stream>>>(a);
  } else if (lanes == 8) {
    RopeBackward<T, 8><<<ctas, kModelThreads, 0, stream>>>(a);
  } else if (lanes == 16) {
    RopeBackward<T, 16><<<ctas, kModelThreads, 0, stream>>>(a);
  } else {
    RopeBackward<T, 32><<<ctas, kModelThreads, 0, stream>>>(a);
  }
  CheckLaunch("qk_norm_rope_backward");
}

void LaunchSide(const QkSideBackward& s, const QkNormRopeBackwardParams& p, float* partials,
                cudaStream_t stream) {
  const Extent extent(s, p);
  if (extent.ctas == 0) return;
  RopeBackwardArgs a{};
  a.in = PlainRows(s.in);
  a.d_out = PlainRows(s.d_out);
  a.d_in = PlainRows(s.d_in);
  a.weight = PlainRows(s.weight);
  a.rrms = static_cast<const float*>(s.rrms.data);
  a.cos = static_cast<const float*>(p.cos.data);
  a.sin = static_cast<const float*>(p.sin.data);
  a.partials = WantsSums(s) ? partials : nullptr;
  a.in_batch = s.in.stride(0);
  a.in_token = s.in.stride(1);
  a.in_head = s.in.stride(2);
  a.out_batch = s.d_out.stride(0);
  a.out_head = s.d_out.stride(1);
  a.out_token = s.d_out.stride(2);
  a.to_batch = s.d_in.stride(0);
  a.to_token = s.d_in.stride(1);
  a.to_head = s.d_in.stride(2);
  a.rows = RowsOfSide(s);
  a.heads = static_cast<int>(s.in.dim(2));
  a.tokens = static_cast<int>(s.in.dim(1));
  a.dim = static_cast<int>(s.in.dim(3));
  WithType(a.in.bf16, [&](auto type) {
    LaunchTyped<decltype(type)>(a, IsFast(s, p), static_cast<unsigned>(extent.ctas), stream);
  });
  if (a.partials == nullptr) return;
  AddPartials(partials, a.dim, 1, extent.partials, s.d_weight, true, stream);
}

}  // namespace

size_t QkNormRopeBackwardWorkspace(const QkNormRopeBackwardParams& p) {
  return static_cast<size_t>(std::max(Partials(p.q, p), Partials(p.k, p))) * sizeof(float);
}

void LaunchQkNormRopeBackward(const QkNormRopeBackwardParams& p, void* workspace,
                              cudaStream_t stream) {
  auto* partials = static_cast<float*>(workspace);
  LaunchSide(p.q, p, partials, stream);
  if (!p.k.in.empty()) LaunchSide(p.k, p, partials, stream);
}

}  // namespace suffice::cuda
