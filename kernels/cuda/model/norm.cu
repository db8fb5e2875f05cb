// SPDX-License-Identifier: Apache-2.0
// LayerNorm with modulation. A team of threads owns a row: a warp, or the whole CTA where a row is
// long. It keeps the row in registers, a few pieces a thread; a row that is too long or not aligned
// is read again for every use.
#include "kernels/cuda/launch.h"
#include "kernels/cuda/model/column_sums.h"
#include "kernels/cuda/model/launch_model.h"
#include "kernels/cuda/model/values.h"

namespace suffice::cuda {
namespace {

constexpr int kMostThreads = 512;  // of a team
constexpr int kWarpTeams = 4;      // of a CTA, where a team is a warp
constexpr int kMostHeld = 4;       // pieces of a thread

// Sums over the team. `shared` is one value for each of the CTA's warps.
__device__ float TeamSum(float x, float* shared) {
#pragma unroll
  for (int step = 16; step > 0; step /= 2) x += __shfl_xor_sync(0xFFFFFFFFu, x, step);
  if (blockDim.x == 32) return x;
  __syncthreads();  // the last sum's parts have been read
  if (threadIdx.x % 32 == 0) shared[threadIdx.x / 32] = x;
  __syncthreads();
  float sum = 0.0f;
  for (unsigned warp = 0; warp < blockDim.x / 32; ++warp) sum += shared[warp];
  return sum;
}

// The pieces of one thread: kHeld of them, or (0) as many as there are.
template <int kWidth, int kHeld, class Body>
__device__ void ForPieces(int64_t columns, const Body& body) {
  const int64_t first = int64_t{threadIdx.x} * kWidth, step = int64_t{blockDim.x} * kWidth;
  if constexpr (kHeld > 0) {
#pragma unroll
    for (int piece = 0; piece < kHeld; ++piece) {
      const int64_t column = first + piece * step;
      if (column < columns) body(piece, column, columns - column);
    }
  } else {
    for (int64_t column = first; column < columns; column += step)
      body(0, column, columns - column);
  }
}

// A row's values of this thread.
template <class T, int kWidth, int kHeld>
struct Row {
  const T* from;
  float held[kHeld > 0 ? kHeld : 1][kWidth];
  __device__ Row(const T* row, int64_t columns) : from(row) {
    if constexpr (kHeld > 0) {
      ForPieces<kWidth, kHeld>(columns, [&](int piece, int64_t column, int64_t left) {
        Read<kWidth>(from + column, left, held[piece]);
      });
    }
  }
  __device__ void Get(int piece, int64_t column, int64_t left, float (&x)[kWidth]) const {
    if constexpr (kHeld > 0) {
#pragma unroll
      for (int d = 0; d < kWidth; ++d) x[d] = held[piece][d];
    } else {
      Read<kWidth>(from + column, left, x);
    }
  }
};

struct NormArgs {
  Rows x, scale, shift, y;
  float *mean, *rstd;
  int64_t rows, columns, rows_per_group;
  float eps;
};

template <class T, int kWidth, int kHeld>
__global__ void __launch_bounds__(kMostThreads) NormModulate(const __grid_constant__ NormArgs a) {
  __shared__ float shared[kMostThreads / 32];
  const int64_t row = int64_t{blockIdx.x} * blockDim.y + threadIdx.y;
  if (row >= a.rows) return;  // teams of a CTA wait for each other only where there is one
  const Row<T, kWidth, kHeld> values(At<const T>(a.x, row, 0), a.columns);
  float sum = 0.0f;
  ForPieces<kWidth, kHeld>(a.columns, [&](int piece, int64_t column, int64_t left) {
    float x[kWidth];
    values.Get(piece, column, left, x);
#pragma unroll
    for (int d = 0; d < kWidth; ++d) sum += x[d];
  });
  const float mean = TeamSum(sum, shared) / static_cast<float>(a.columns);
  float squares = 0.0f;
  ForPieces<kWidth, kHeld>(a.columns, [&](int piece, int64_t column, int64_t left) {
    float x[kWidth];
    values.Get(piece, column, left, x);
#pragma unroll
    for (int d = 0; d < kWidth; ++d) {
      const float centred = x[d] - mean;
      if (d < left) squares = fmaf(centred, centred, squares);
    }
  });
  const float variance = TeamSum(squares, shared) / static_cast<float>(a.columns);
  const float rstd = 1.0f / sqrtf(variance + a.eps);
  if (threadIdx.x == 0) {
    a.mean[row] = mean;
    a.rstd[row] = rstd;
  }
  const int64_t group = row / a.rows_per_group;
  ForPieces<kWidth, kHeld>(a.columns, [&](int piece, int64_t column, int64_t left) {
    float x[kWidth];
    values.Get(piece, column, left, x);
#pragma unroll
    for (int d = 0; d < kWidth; ++d) x[d] = (x[d] - mean) * rstd;
    if (a.scale.data != nullptr) {
      float scale[kWidth], shift[kWidth];
      ReadAny<kWidth>(a.scale, group, column, left, scale);
      ReadAny<kWidth>(a.shift, group, column, left, shift);
#pragma unroll
      for (int d = 0; d < kWidth; ++d) x[d] = fmaf(x[d], 1.0f + scale[d], shift[d]);
    }
    Write<kWidth>(At<T>(a.y, row, column), left, x);
  });
}

struct NormBackwardArgs {
  Rows x, scale, dy, dx;
  const float *mean, *rstd;
  int64_t rows, columns, rows_per_group;
  bool accumulate;
};

// With x^ = (x - mean) rstd and g = dy (1 + scale): dx = rstd (g - mean(g) - x^ mean(g x^)).
template <class T, int kWidth, int kHeld>
__global__ void __launch_bounds__(kMostThreads)
    NormModulateBackward(const __grid_constant__ NormBackwardArgs a) {
  __shared__ float shared[kMostThreads / 32];
  const int64_t row = int64_t{blockIdx.x} * blockDim.y + threadIdx.y;
  if (row >= a.rows) return;
  const int64_t group = row / a.rows_per_group;
  const float mean = a.mean[row], rstd = a.rstd[row];
  const Row<T, kWidth, kHeld> values(At<const T>(a.x, row, 0), a.columns);
  Row<T, kWidth, kHeld> gradients(At<const T>(a.dy, row, 0), a.columns);
  const auto scaled = [&](int64_t column, int64_t left, float(&g)[kWidth]) {
    if (a.scale.data == nullptr) return;
    float scale[kWidth];
    ReadAny<kWidth>(a.scale, group, column, left, scale);
#pragma unroll
    for (int d = 0; d < kWidth; ++d) g[d] *= 1.0f + scale[d];
  };
  float sum = 0.0f, product = 0.0f;
  ForPieces<kWidth, kHeld>(a.columns, [&](int piece, int64_t column, int64_t left) {
    float x[kWidth], g[kWidth];
    values.Get(piece, column, left, x);
    gradients.Get(piece, column, left, g);
    scaled(column, left, g);
#pragma unroll
    for (int d = 0; d < kWidth; ++d) {  // g is zero past the end
      sum += g[d];
      product = fmaf(g[d], (x[d] - mean) * rstd, product);
      if constexpr (kHeld > 0) gradients.held[piece][d] = g[d];
    }
  });
  sum = TeamSum(sum, shared) / static_cast<float>(a.columns);
  product = TeamSum(product, shared) / static_cast<float>(a.columns);
  ForPieces<kWidth, kHeld>(a.columns, [&](int piece, int64_t column, int64_t left) {
    float x[kWidth], g[kWidth];
    values.Get(piece, column, left, x);
    gradients.Get(piece, column, left, g);
    if constexpr (kHeld == 0) scaled(column, left, g);
    float old[kWidth] = {};
    T* to = At<T>(a.dx, row, column);
    if (a.accumulate) Read<kWidth>(to, left, old);
#pragma unroll
    for (int d = 0; d < kWidth; ++d) {
      g[d] = fmaf(rstd, g[d] - sum - (x[d] - mean) * rstd * product, old[d]);
    }
    Write<kWidth>(to, left, g);
  });
}

// d_scale and d_shift.
template <class T>
struct ModulationSource {
  static constexpr int kSums = 2;
  Rows x, dy;
  const float *mean, *rstd;
  template <int kWidth>
  __device__ void Add(int64_t row, int64_t, int64_t column, int64_t left,
                      float (&sums)[kSums][kWidth]) const {
    float values[kWidth], y[kWidth];
    Read<kWidth>(At<const T>(x, row, column), left, values);
    Read<kWidth>(At<const T>(dy, row, column), left, y);
    const float centre = mean[row], factor = rstd[row];
#pragma unroll
    for (int d = 0; d < kWidth; ++d) {
      sums[0][d] = fmaf(y[d], (values[d] - centre) * factor, sums[0][d]);
      sums[1][d] += y[d];
    }
  }
};

// How teams take rows: threads of a team, and pieces that each holds.
struct Team {
  bool wide;
  int threads = kMostThreads, held = 0;
  Team(int64_t columns, bool aligned) : wide(aligned) {
    const int64_t pieces = (columns + (wide ? kPiece : 1) - 1) / (wide ? kPiece : 1);
    if (!wide || pieces > kMostHeld * kMostThreads) {
      threads = static_cast<int>(std::clamp<int64_t>((pieces + 31) / 32 * 32, 32, kMostThreads));
      if (threads > 32 && threads < kMostThreads) threads = 32 * ((threads / 32 + 3) / 4);
      return;
    }
    // The fewest idle places; of equal ones the fewest threads.
    int64_t best = INT64_MAX;
    for (int h = kMostHeld; h > 0; --h) {
      const int64_t t = std::max<int64_t>(32, ((pieces + h - 1) / h + 31) / 32 * 32);
      if (t > kMostThreads || t * h >= best) continue;
      best = t * h;
      threads = static_cast<int>(t);
      held = h;
    }
  }
  dim3 block() const {
    return dim3(static_cast<unsigned>(threads), threads == 32 ? kWarpTeams : 1);
  }
  dim3 grid(int64_t rows) const {
    return dim3(static_cast<unsigned>((rows + block().y - 1) / block().y));
  }
};

// Calls body with the constants (width, held) of a kernel.
template <class Body>
void WithTeam(const Team& team, const Body& body) {
  using std::integral_constant;
  constexpr integral_constant<int, kPiece> kWide{};
  switch (team.held) {
    case 1:
      return body(kWide, integral_constant<int, 1>{});
    case 2:
      return body(kWide, integral_constant<int, 2>{});
    case 3:
      return body(kWide, integral_constant<int, 3>{});
    case 4:
      return body(kWide, integral_constant<int, 4>{});
    default:
      if (team.wide) return body(kWide, integral_constant<int, 0>{});
      return body(integral_constant<int, 1>{}, integral_constant<int, 0>{});
  }
}

RowChunks ChunksOf(const NormModulateBackwardParams& p) {
  return {p.scale.dim(0), p.x.dim(0), p.x.dim(1)};
}

}  // namespace

void LaunchNormModulate(const NormModulateParams& p, cudaStream_t stream) {
  NormArgs a{};
  a.x = RowsOf(p.x);
  a.scale = RowsOf(p.scale);
  a.shift = RowsOf(p.shift);
  a.y = RowsOf(p.y);
  a.mean = static_cast<float*>(p.mean.data);
  a.rstd = static_cast<float*>(p.rstd.data);
  a.rows = p.x.dim(0);
  a.columns = p.x.dim(1);
  a.rows_per_group = p.scale.empty() ? 1 : std::max<int64_t>(1, a.rows / p.scale.dim(0));
  a.eps = p.eps;
  if (a.rows == 0) return;
  const Team team(a.columns, Aligned({a.x, a.scale, a.shift, a.y}));
  WithType(a.x.bf16, [&](auto type) {
    WithTeam(team, [&](auto width, auto held) {
      NormModulate<decltype(type), decltype(width)::value, decltype(held)::value>
          <<<team.grid(a.rows), team.block(), 0, stream>>>(a);
    });
  });
  CheckLaunch("norm_modulate");
}

size_t NormModulateBackwardWorkspace(const NormModulateBackwardParams& p) {
  if (p.d_scale.empty()) return 0;
  return static_cast<size_t>(2 * ChunksOf(p).count() * p.x.dim(1)) * sizeof(float);
}

void LaunchNormModulateBackward(const NormModulateBackwardParams& p, void* workspace,
                                cudaStream_t stream) {
  NormBackwardArgs a{};
  a.x = RowsOf(p.x);
  a.scale = RowsOf(p.scale);
  a.dy = RowsOf(p.dy);
  a.dx = RowsOf(p.dx);
  a.mean = static_cast<const float*>(p.mean.data);
  a.rstd = static_cast<const float*>(p.rstd.data);
  a.rows = p.x.dim(0);
  a.columns = p.x.dim(1);
  a.rows_per_group = p.scale.empty() ? 1 : std::max<int64_t>(1, a.rows / p.scale.dim(0));
  a.accumulate = p.accumulate_dx;
  if (a.rows == 0) return;
  if (!p.d_scale.empty()) {  // first: dx may lie over dy
    const RowChunks chunks = ChunksOf(p);
    auto* partials = static_cast<float*>(workspace);
    WithType(a.x.bf16, [&](auto type) {
      LaunchColumnSums(ModulationSource<decltype(type)>{a.x, a.dy, a.mean, a.rstd}, chunks,
                       a.columns, Aligned({a.x, a.dy}), partials, stream);
    });
    AddPartials(partials, 2 * a.columns, chunks.groups, chunks.per_group, p.d_scale, true, stream);
    AddPartials(partials + a.columns, 2 * a.columns, chunks.groups, chunks.per_group, p.d_shift,
                true, stream);
  }
  const Team team(a.columns, Aligned({a.x, a.scale, a.dy, a.dx}));
  WithType(a.x.bf16, [&](auto type) {
    WithTeam(team, [&](auto width, auto held) {
      NormModulateBackward<decltype(type), decltype(width)::value, decltype(held)::value>
          <<<team.grid(a.rows), team.block(), 0, stream>>>(a);
    });
  });
  CheckLaunch("norm_modulate_backward");
}

}  // namespace suffice::cuda
