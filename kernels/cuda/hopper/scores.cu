// SPDX-License-Identifier: Apache-2.0
// Scores of pooled blocks, as select/scores.cu makes them, by warpgroup products: the same three
// products of fp16 halves, summed in the same order. wgmma reads keys from shared memory, so that
// threads are left with splitting rows and storing scores, which the other CTAs of a multiprocessor
// hide. Where a query tile meets many key tiles, its halves are kept in registers: read from shared
// memory with every key tile, they would be half of what shared memory has to do. There is no room
// in registers then for the keys in flight, nor for where scores go; both are in shared memory, in
// the place that the queries leave.
#include "kernels/cuda/hopper/scores.h"
#include "kernels/cuda/hopper/tensor_map.h"
#include "kernels/cuda/hopper/wgmma.h"
#include "kernels/cuda/select/score_tiles.h"

namespace suffice::cuda::hopper {
namespace {

constexpr int kKeysOfTile = 64;

// Rows of halves as wgmma reads them: panels of 64 columns, each kRows rows in the 128-byte
// swizzle.
template <int kRows>
struct Panels {
  char* high;
  char* low;
  float* unscale;

  __device__ static int At(int row, int byte) {
    return (byte & ~(kRowBytes - 1)) * kRows + row * kRowBytes +
           ((byte & (kRowBytes - 1)) ^ ((row & 7) << 4));
  }
};

// A lane has columns 2 t and 2 t + 1 of all pieces of 8 columns of an accumulator, t = lane % 4.
// Keys lie in an order of rows that makes runs of four neighbouring scores of a lane's columns in
// two pieces:
//   kDirect  key 4 t + 2 n + i of 16 is row 8 n + 2 t + i: the runs of a quad are neighbours, and
//            are stored as they are
//   kStaged  key 8 t + 4 r + 2 n + i of 32 is row 16 r + 8 n + 2 t + i: on their way through shared
//            memory (StagedAt) the runs of two quads meet in no bank
enum class Order { kDirect, kStaged };

template <int kRows, Order kOrder>
struct KeyPanels : Panels<kRows> {
  __device__ static int At(int key, int byte) {
    const int pair = key & 1;
    if constexpr (kOrder == Order::kDirect) {
      return Panels<kRows>::At((key & ~0xF) | (key & 2) << 2 | (key & 0xC) >> 1 | pair, byte);
    } else {
      return Panels<kRows>::At((key & ~0x1F) | (key & 6) << 2 | (key & 0x18) >> 2 | pair, byte);
    }
  }
};

// kGroups warpgroups, each with 64 query blocks and all 64 key blocks of a tile.
template <int kDimOfForm, int kGroups, int kPlacesOfForm, int kBatchOfForm, Order kOrder>
struct WgmmaForm {
  static constexpr int kDim = kDimOfForm, kPlaces = kPlacesOfForm, kBatch = kBatchOfForm;
  static constexpr int kRows = 64 * kGroups, kColumns = kKeysOfTile, kThreads = 128 * kGroups;
  static constexpr int kEightRows = 2, kRuns = kColumns / 16, kRun = 4;
  using Keys = KeyPanels<kColumns, kOrder>;
  using Sums = Accumulator<kColumns>;

  __device__ static int Row(int warp) { return 16 * warp; }
  __device__ static int Column(int) { return 0; }
  __device__ static int RunAt(int t, int r) {
    return kOrder == Order::kDirect ? 16 * r + 4 * t : 32 * (r / 2) + 8 * t + 4 * (r % 2);
  }
  __device__ static float Sum(const Sums& sums, int m, int r, int c) {
    return sums.x[4 * (2 * r + c / 2) + 2 * m + c % 2];
  }
  __device__ static void Written() { FenceForAsync(); }

  // `high(k)`, `low(k)`: the queries' halves of the k-th 16 dimensions, as A operands.
  template <class Half>
  __device__ static void MultiplyBy(const Half& high, const Half& low, const Keys& k, Sums& sums) {
    BeginProducts();
#pragma unroll
    for (int n = 0; n < kDim / 16; ++n) {
      const int panel = n / 4 * kColumns * kRowBytes;
      const uint64_t step = n % 4 * kKMajorStep;
      const uint64_t k_high = KMajor(k.high + panel) + step, k_low = KMajor(k.low + panel) + step;
      MultiplyHalf(sums, high(n), k_low, n > 0);
      MultiplyHalf(sums, low(n), k_high, true);
      MultiplyHalf(sums, high(n), k_high, true);
    }
    CommitProducts();
    WaitProducts<0>();
    Pin(sums);
  }
};

// A warp's 16 x 64 scores on their way out: two boxes of 16 rows of 32 columns, 128 bytes, in the
// copy engine's 128-byte swizzle.
constexpr int kStagedRows = 16;
constexpr int kStagedBytes = kStagedRows * kKeysOfTile * static_cast<int>(sizeof(float));
__device__ inline int StagedAt(int row, int column) {
  return column / 32 * (kStagedRows * kRowBytes) + row * kRowBytes +
         ((column % 32 * 4) ^ ((row & 7) << 4));
}

// Writes them as rows of the tile from `first_row` on, whole lines of memory at a time.
__device__ inline void StoreStaged(const char* staged, int first_row, const TileOut& to) {
  int lane = LaneId();
  asm volatile("" : "+r"(lane));  // as in Store
  const int rows = min(kStagedRows, to.rows - first_row);
  float* const out = to.first + first_row * to.stride;
  if (to.together == 4 && to.columns == kKeysOfTile) {
    const int column = lane % 16 * 4;
#pragma unroll 4
    for (int row = lane / 16; row < rows; row += 2) {
      *reinterpret_cast<float4*>(out + row * to.stride + column) =
          *reinterpret_cast<const float4*>(staged + StagedAt(row, column));
    }
  } else {
#pragma unroll 2
    for (int row = 0; row < rows; ++row) {
      for (int column = lane; column < to.columns; column += 32) {
        out[row * to.stride + column] =
            *reinterpret_cast<const float*>(staged + StagedAt(row, column));
      }
    }
  }
}

// For few tiles: a CTA has hardly more than one, and its queries stay in shared memory.
template <int kDim, int kGroups, int kPlaces, int kBatch>
struct InPlaceForm : WgmmaForm<kDim, kGroups, kPlaces, kBatch, Order::kDirect>,
                     InPlace<kDim, kKeysOfTile / (4 * kGroups)> {
  using Base = WgmmaForm<kDim, kGroups, kPlaces, kBatch, Order::kDirect>;
  using Queries = Panels<Base::kRows>;

  __device__ static void Multiply(const Queries& q, const typename Base::Keys& k, int warp,
                                  typename Base::Sums& sums) {
    const int first = warp / 4 * 64 * kRowBytes;  // of this warpgroup
    const auto half = [first](const char* tile) {
      return [=](int n) {
        return KMajor(tile + n / 4 * Base::kRows * kRowBytes + first) + n % 4 * kKMajorStep;
      };
    };
    Base::MultiplyBy(half(q.high), half(q.low), k, sums);
  }
};

// For many tiles. An A operand in registers lies as that of an mma.m16n8k16 does in a warp: lane
// 4 g + t has rows g, g + 8 of the warp's 16 in registers 0, 1, columns 2 t and 2 t + 1 of the k-th
// 16, and the columns 8 further on in registers 2, 3. Those are the four 8 x 8 matrices that
// ldmatrix gives if lane l says where row l % 16 begins, and half-row l / 16 of 8 columns.
template <int kDim, int kGroups, int kPlaces, int kBatch>
struct HeldForm : WgmmaForm<kDim, kGroups, kPlaces, kBatch, Order::kStaged> {
  using Base = WgmmaForm<kDim, kGroups, kPlaces, kBatch, Order::kStaged>;
  using Queries = SplitTile<kDim>;
  static constexpr bool kHolds = true;
  struct Held {
    uint32_t high[kDim / 16][4], low[kDim / 16][4];
  };

  __device__ static Held Hold(const Queries& q, int warp) {
    const int at = Queries::At(Base::Row(warp) + LaneId() % 16, LaneId() / 16 * 16);
    const uint32_t high = SharedAddress(q.high), low = SharedAddress(q.low);
    Held held;
    __syncthreads();
#pragma unroll
    for (int n = 0; n < kDim / 16; ++n) {
      const auto piece = static_cast<uint32_t>(at ^ (32 * n));
      LoadMatrices(high + piece, held.high[n]);
      LoadMatrices(low + piece, held.low[n]);
    }
    __syncthreads();  // keys may take the queries' place
    return held;
  }

  // The scores as the copy engine sees them, if it can.
  struct Sink {
    CUtensorMap map;
    bool usable;
  };
  static Sink SinkOf(const ScoreArgs& a, int end) {
    const int tiles = (a.geometry.t_q + Base::kRows - 1) / Base::kRows;
    const int heads = (end + tiles - 1) / tiles;
    View scores;
    scores.data = a.out.data - a.out.before;  // where row 0 is or would be: it is not written
    scores.shape = {(heads + a.heads - 1) / a.heads, a.heads, a.geometry.t_q, a.out_columns};
    scores.strides = {a.out.batch, a.out.head, a.out.row, 1};
    Sink sink = {};
    sink.usable = !Unaddressable("scores", scores);
    if (sink.usable) sink.map = MapOf(scores, kStagedRows);
    return sink;
  }

  // In the queries' place: the next keys of all warps, then their scores.
  using Next = RowsAside<kDim, kKeysOfTile / (4 * kGroups)>;
  static constexpr int kWarps = 4 * kGroups, kNextBytes = kWarps * Next::kBytes;
  static constexpr int kRoom = kNextBytes + kWarps * kStagedBytes;
  __device__ static Next NextKeys(char* shared, int warp) {
    return Next(shared + warp * Next::kBytes);
  }

  __device__ static void Store(char* shared, const float* q_unscale, const float* k_unscale,
                               float scale, int warp, const TileOut& to, bool plain,
                               const Sink& sink, const typename Base::Sums& sums) {
    char* const staged = shared + kNextBytes + warp * kStagedBytes;
    int lane = LaneId();
    asm volatile("" : "+r"(lane));  // places are made at every tile: queries need the registers
    if (lane == 0) WaitStoresRead();
    __syncwarp();  // the scores before these have left
    const int row = lane / 4;
    const float factors[Base::kEightRows] = {q_unscale[16 * warp + row] * scale,
                                             q_unscale[16 * warp + row + 8] * scale};
#pragma unroll
    for (int r = 0; r < Base::kRuns; ++r) {
      const int column = Base::RunAt(lane % 4, r);
      const float4 unscale = *reinterpret_cast<const float4*>(k_unscale + column);
#pragma unroll
      for (int m = 0; m < Base::kEightRows; ++m) {
        static_assert(Base::kRun == 4);
        const auto sum = [&](int c) { return Base::Sum(sums, m, r, c); };
        *reinterpret_cast<float4*>(staged + StagedAt(row + 8 * m, column)) = {
            sum(0) * unscale.x * factors[m], sum(1) * unscale.y * factors[m],
            sum(2) * unscale.z * factors[m], sum(3) * unscale.w * factors[m]};
      }
    }
    if (sink.usable && !plain) {
      FenceForAsync();
      __syncwarp();
      if (lane != 0) return;
#pragma unroll
      for (int box = 0; box < kKeysOfTile; box += 32) {
        if (box >= to.columns) break;
        StoreBox(sink.map, staged + StagedAt(0, box), to.column + box, to.row + 16 * warp, to.h,
                 to.b);
      }
      CommitStores();
    } else {
      __syncwarp();
      StoreStaged(staged, 16 * warp, to);
    }
  }

  __device__ static void Drain() {
    if (LaneId() == 0) WaitStoresRead();
    __syncthreads();
  }

  __device__ static void Multiply(const Held& held, const typename Base::Keys& k, int,
                                  typename Base::Sums& sums) {
    const auto half = [](const uint32_t(&x)[kDim / 16][4]) {
      return [&x](int n) -> const uint32_t(&)[4] { return x[n]; };
    };
    Base::MultiplyBy(half(held.high), half(held.low), k, sums);
  }
};

template <int kDim>
void LaunchSized(const ScoreArgs& a, int first, int end, int multiprocessors, cudaStream_t stream) {
  using Large = HeldForm<kDim, 2, 2, 4>;
  using Small = InPlaceForm<kDim, 1, 3, 8>;
  static_assert(Large::kRows == kLargeScoreRows && Small::kRows == kSmallScoreRows);
  if (a.tile_rows == Large::kRows) {
    LaunchForm<Large>(a, first, end, multiprocessors, stream);
  } else {
    LaunchForm<Small>(a, first, end, multiprocessors, stream);
  }
}

}  // namespace

void LaunchScores(const ScoreArgs& args, int first, int end, int multiprocessors,
                  cudaStream_t stream) {
  if (args.dim <= 64) {
    LaunchSized<64>(args, first, end, multiprocessors, stream);
  } else {
    LaunchSized<kMostScoreDim>(args, first, end, multiprocessors, stream);
  }
}

}  // namespace suffice::cuda::hopper
