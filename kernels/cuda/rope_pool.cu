// SPDX-License-Identifier: Apache-2.0
// RMS normalisation, rotation and block means of q and k in one pass over them.
//
// A warp owns the tokens of one block for one or more neighbouring heads and walks them in order, a
// few under way at a time: so the mean is the very sum that `pool` would make of the rounded
// output, in registers. The warps of a CTA have the other heads of the same tokens: what they read
// lies side by side, and the angles come from the nearest cache for all but the first.
//
// That form wants rows aligned to 16 bytes and a head of 4 to 32 such pieces, a power of two. The
// plain form takes everything: a warp a head, one pair of features a lane at a time.
#include <algorithm>

#include "kernels/cuda/launch_next.h"
#include "kernels/cuda/rope_pool.h"
#include "kernels/cuda/round.h"
#include "kernels/cuda/vector16.h"

namespace suffice::cuda {
namespace {

constexpr unsigned kAllLanes = 0xFFFFFFFFu;
constexpr int kMostWarps = 8;  // of a CTA
constexpr int kInFlight = 2;   // tokens of a warp that are read together, a turn ahead

struct Side {
  const void* in;
  void* out;
  const void* weight;  // null: no normalisation
  bool weight_is_f32;
  float* rrms;                          // (B, H, N)
  float* pooled;                        // (B, H, blocks, D)
  int64_t in_batch, in_token, in_head;  // strides, in elements
  int64_t out_batch, out_head, out_token;
  int heads, tokens, block, blocks;
  int warps, shares;  // of a CTA; CTAs that the heads of one block need
  int ctas;
};

struct RopeArgs {
  Side q, k;
  const float* cos;  // (N, D / 2); null: no rotation
  const float* sin;
  float eps;
  int dim;
};

template <class T>
__device__ float WeightAt(const Side& s, int d) {
  return s.weight_is_f32 ? __ldg(static_cast<const float*>(s.weight) + d)
                         : ToFloat(static_cast<const T*>(s.weight)[d]);
}

__device__ inline float ReciprocalRms(float squares, int dim, float eps) {
  return __frsqrt_rn(__fmaf_rn(squares, 1.0f / static_cast<float>(dim), eps));
}

// Where a CTA works: one block of tokens of one side, and a share of its heads.
struct Task {
  const Side& side;
  int b, block, share;
  int begin, end;  // tokens

  __device__ explicit Task(const RopeArgs& a)
      : side(static_cast<int>(blockIdx.x) < a.q.ctas ? a.q : a.k) {
    int n = static_cast<int>(blockIdx.x);
    if (n >= a.q.ctas) n -= a.q.ctas;
    share = n % side.shares;
    n /= side.shares;
    block = n % side.blocks;
    b = n / side.blocks;
    begin = block * side.block;
    end = min(begin + side.block, side.tokens);
  }
};

// The angles' half row that goes with kValues features: one load.
template <int kPairs>
struct Angles;
template <>
struct Angles<4> {
  float4 x;
  __device__ void Load(const float* from) { x = __ldg(reinterpret_cast<const float4*>(from)); }
  __device__ float operator[](int i) const {
    return i == 0 ? x.x : i == 1 ? x.y : i == 2 ? x.z : x.w;
  }
};
template <>
struct Angles<2> {
  float2 x;
  __device__ void Load(const float* from) { x = __ldg(reinterpret_cast<const float2*>(from)); }
  __device__ float operator[](int i) const { return i == 0 ? x.x : x.y; }
};

// Rounds and stores one piece; y becomes what was stored.
__device__ inline void StorePiece(float* to, float (&y)[4], bool store) {
  if (store) *reinterpret_cast<float4*>(to) = make_float4(y[0], y[1], y[2], y[3]);
}

__device__ inline void StorePiece(BFloat16* to, float (&y)[8], bool store) {
  uint32_t words[4];
  RoundToBFloat16(y, words);
#pragma unroll
  for (int d = 0; d < 8; d += 2) {
    y[d] = __uint_as_float(words[d / 2] << 16);
    y[d + 1] = __uint_as_float(words[d / 2] & 0xFFFF0000u);
  }
  if (store) *reinterpret_cast<uint4*>(to) = make_uint4(words[0], words[1], words[2], words[3]);
}

// kLanes: of one head.
template <class T, int kLanes>
__global__ void __launch_bounds__(32 * kMostWarps, 3)
    NormRopePool(const __grid_constant__ RopeArgs a) {
  constexpr int kValues = static_cast<int>(16 / sizeof(T));
  constexpr int kDim = kLanes * kValues;
  constexpr int kHeads = 32 / kLanes;
  LetNextKernelStart();
  const Task task(a);
  const Side& s = task.side;
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  const int first_head = (task.share * s.warps + warp) * kHeads;
  if (warp >= s.warps || first_head >= s.heads) return;
  // Lanes beyond the last head do its work again, and keep it to themselves.
  const int h = min(first_head + lane / kLanes, s.heads - 1);
  const bool exists = first_head + lane / kLanes < s.heads;
  const int piece = lane % kLanes, d0 = piece * kValues;
  const T* in = static_cast<const T*>(s.in) + task.b * s.in_batch + h * s.in_head + d0;
  T* out = static_cast<T*>(s.out) + task.b * s.out_batch + h * s.out_head + d0;
  const int64_t row = int64_t{task.b} * s.heads + h;  // of (B, H)
  const bool norms = s.weight != nullptr, rotates = a.cos != nullptr;

  float weight[kValues];
#pragma unroll
  for (int d = 0; d < kValues; ++d) weight[d] = norms ? WeightAt<T>(s, d0 + d) : 1.0f;
  float sum[kValues] = {};
  Vector<T> next[kInFlight];
  const auto read = [&](int first) {
#pragma unroll
    for (int u = 0; u < kInFlight; ++u) {
      if (first + u < task.end) next[u] = LoadVector<T, kValues>(in + (first + u) * s.in_token);
    }
  };
  read(task.begin);
  for (int first = task.begin; first < task.end; first += kInFlight) {
    Vector<T> x[kInFlight];
    Angles<kValues / 2> cos[kInFlight], sin[kInFlight];
#pragma unroll
    for (int u = 0; u < kInFlight; ++u) {
      x[u] = next[u];
      if (!rotates || first + u >= task.end) continue;
      const int64_t at = int64_t{first + u} * (kDim / 2) + d0 / 2;
      cos[u].Load(a.cos + at);
      sin[u].Load(a.sin + at);
    }
    read(first + kInFlight);
#pragma unroll
    for (int u = 0; u < kInFlight; ++u) {
      const int n = first + u;
      if (n >= task.end) continue;
      float y[kValues];
#pragma unroll
      for (int d = 0; d < kValues; ++d) y[d] = x[u].value(d);
      if (s.rrms != nullptr) {
        float squares = 0.0f;
#pragma unroll
        for (int d = 0; d < kValues; ++d) squares = __fmaf_rn(y[d], y[d], squares);
#pragma unroll
        for (int step = kLanes / 2; step > 0; step /= 2) {
          squares += __shfl_xor_sync(kAllLanes, squares, step);
        }
        const float rrms = ReciprocalRms(squares, kDim, a.eps);
        if (exists && piece == 0) s.rrms[row * s.tokens + n] = rrms;
#pragma unroll
        for (int d = 0; d < kValues; ++d) y[d] *= (norms ? rrms : 1.0f) * weight[d];
      }
      if (rotates) {
#pragma unroll
        for (int d = 0; d < kValues; d += 2) {
          const float c = cos[u][d / 2], sn = sin[u][d / 2];
          const float even = y[d], odd = y[d + 1];
          y[d] = even * c - odd * sn;
          y[d + 1] = even * sn + odd * c;
        }
      }
      StorePiece(out + n * s.out_token, y, exists);
#pragma unroll
      for (int d = 0; d < kValues; ++d) sum[d] += y[d];
    }
  }
  if (s.pooled == nullptr || !exists) return;
  const auto count = static_cast<float>(task.end - task.begin);
#pragma unroll
  for (int d = 0; d < kValues; ++d) sum[d] = __fdiv_rn(sum[d], count);
  StoreFloats<kValues>(s.pooled + (row * s.blocks + task.block) * kDim + d0, sum);
}

__device__ inline void StoreOne(float* to, float& y) { *to = y; }
__device__ inline void StoreOne(BFloat16* to, float& y) {
  *to = ToBFloat16(y);
  y = ToFloat(*to);
}

// One warp a head. Means grow where they will be, each value by one lane.
template <class T>
__global__ void __launch_bounds__(32 * kMostWarps)
    PlainNormRopePool(const __grid_constant__ RopeArgs a) {
  LetNextKernelStart();
  const Task task(a);
  const Side& s = task.side;
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  const int h = task.share * s.warps + warp;
  if (warp >= s.warps || h >= s.heads) return;
  const int64_t row = int64_t{task.b} * s.heads + h;
  float* pooled = s.pooled == nullptr ? nullptr : s.pooled + (row * s.blocks + task.block) * a.dim;
  const auto count = static_cast<float>(task.end - task.begin);
  for (int n = task.begin; n < task.end; ++n) {
    const T* in =
        static_cast<const T*>(s.in) + task.b * s.in_batch + h * s.in_head + n * s.in_token;
    T* out = static_cast<T*>(s.out) + task.b * s.out_batch + h * s.out_head + n * s.out_token;
    float rrms = 1.0f;
    if (s.rrms != nullptr) {
      float squares = 0.0f;
      for (int d = lane; d < a.dim; d += 32) {
        const float x = ToFloat(in[d]);
        squares = __fmaf_rn(x, x, squares);
      }
#pragma unroll
      for (int step = 16; step > 0; step /= 2) {
        squares += __shfl_xor_sync(kAllLanes, squares, step);
      }
      rrms = ReciprocalRms(squares, a.dim, a.eps);
      if (lane == 0) s.rrms[row * s.tokens + n] = rrms;
    }
    for (int d = 2 * lane; d < a.dim; d += 64) {
      float y[2] = {};
      const int width = min(2, a.dim - d);
      for (int o = 0; o < width; ++o) {
        y[o] = ToFloat(in[d + o]);
        if (s.weight != nullptr) y[o] *= rrms * WeightAt<T>(s, d + o);
      }
      if (a.cos != nullptr) {
        const int64_t at = int64_t{n} * (a.dim / 2) + d / 2;
        const float c = a.cos[at], sn = a.sin[at];
        const float even = y[0], odd = y[1];
        y[0] = even * c - odd * sn;
        y[1] = even * sn + odd * c;
      }
      for (int o = 0; o < width; ++o) {
        StoreOne(out + d + o, y[o]);
        if (pooled == nullptr) continue;
        const float sum = (n == task.begin ? 0.0f : pooled[d + o]) + y[o];
        pooled[d + o] = n + 1 < task.end ? sum : __fdiv_rn(sum, count);
      }
    }
  }
}

Side SideOf(const QkSide& q, int heads_of_warp) {
  Side s{};
  s.in = q.in.data;
  s.out = q.out.data;
  s.weight = q.weight.data;
  s.weight_is_f32 = q.weight.dtype == DType::kF32;
  s.rrms = static_cast<float*>(q.rrms.data);
  s.pooled = static_cast<float*>(q.pooled.data);
  s.in_batch = q.in.stride(0);
  s.in_token = q.in.stride(1);
  s.in_head = q.in.stride(2);
  s.out_batch = q.out.stride(0);
  s.out_head = q.out.stride(1);
  s.out_token = q.out.stride(2);
  s.heads = static_cast<int>(q.in.dim(2));
  s.tokens = static_cast<int>(q.in.dim(1));
  s.block = static_cast<int>(std::clamp<int64_t>(q.block, 1, std::max(s.tokens, 1)));
  s.blocks = (s.tokens + s.block - 1) / s.block;
  const int warps = (s.heads + heads_of_warp - 1) / heads_of_warp;
  s.shares = std::max(1, (warps + kMostWarps - 1) / kMostWarps);
  s.warps = (warps + s.shares - 1) / s.shares;
  s.ctas = static_cast<int>(q.in.dim(0)) * s.blocks * (warps > 0 ? s.shares : 0);
  return s;
}

template <class T>
bool Aligned(const QkSide& s) {
  return Aligned16<T>(s.in.data, {s.in.stride(0), s.in.stride(1), s.in.stride(2)}) &&
         Aligned16<T>(s.out.data, {s.out.stride(0), s.out.stride(1), s.out.stride(2)}) &&
         Aligned16<float>(s.pooled.data, {});
}

using Kernel = void (*)(RopeArgs);

// A kernel that takes the pieces of one head, and the heads that a warp of it takes.
struct Form {
  Kernel kernel;
  int heads;
};
template <class T>
Form FormFor(int64_t dim, bool aligned) {
  constexpr int64_t kValues = 16 / sizeof(T);
  if (aligned && dim == 4 * kValues) return {&NormRopePool<T, 4>, 8};
  if (aligned && dim == 8 * kValues) return {&NormRopePool<T, 8>, 4};
  if (aligned && dim == 16 * kValues) return {&NormRopePool<T, 16>, 2};
  if (aligned && dim == 32 * kValues) return {&NormRopePool<T, 32>, 1};
  return {&PlainNormRopePool<T>, 1};
}

// Sides of one form go together.
template <class T>
void Launch(const QkSide& q, const QkSide* k, const QkNormRopePoolParams& p, cudaStream_t stream) {
  const bool aligned = Aligned<T>(q) && (k == nullptr || Aligned<T>(*k)) &&
                       Aligned16<float>(p.cos.data, {}) && Aligned16<float>(p.sin.data, {});
  const Form form = FormFor<T>(q.in.dim(3), aligned);
  RopeArgs args{};
  args.q = SideOf(q, form.heads);
  if (k != nullptr) args.k = SideOf(*k, form.heads);
  args.cos = static_cast<const float*>(p.cos.data);
  args.sin = static_cast<const float*>(p.sin.data);
  args.eps = p.eps;
  args.dim = static_cast<int>(q.in.dim(3));
  const int ctas = args.q.ctas + args.k.ctas;
  if (ctas == 0) return;
  const auto threads = static_cast<unsigned>(32 * std::max(args.q.warps, args.k.warps));
  form.kernel<<<static_cast<unsigned>(ctas), threads, 0, stream>>>(args);
  CheckLaunch("qk_norm_rope_pool");
}

void LaunchSides(const QkSide& q, const QkSide* k, const QkNormRopePoolParams& p,
                 cudaStream_t stream) {
  if (q.in.dtype == DType::kBF16) {
    Launch<BFloat16>(q, k, p, stream);
  } else {
    Launch<float>(q, k, p, stream);
  }
}

}  // namespace

void LaunchQkNormRopePool(const QkNormRopePoolParams& p, cudaStream_t stream) {
  const bool together =
      !p.k.in.empty() && p.k.in.dtype == p.q.in.dtype && p.k.in.dim(3) == p.q.in.dim(3);
  LaunchSides(p.q, together ? &p.k : nullptr, p, stream);
  if (!together && !p.k.in.empty()) LaunchSides(p.k, nullptr, p, stream);
}

}  // namespace suffice::cuda
