// SPDX-License-Identifier: Apache-2.0
// The seam between the attention drivers, which are compiled for every processor, and the vector
// code, which is compiled once per instruction set (attention_<isa>.cc) and reached through tables
// of plain functions. Nothing here owns memory or starts threads.
//
// Form. Scores are held transposed: a *tile* is kTile queries side by side in vector lanes, and
// each key adds one row to it (S^T = K Q^T, O^T += V^T P^T), so that row statistics are vertical
// and nothing is ever reduced across lanes. Operands are counted in *units* of four bytes: one fp32
// value, or a pair of bf16 values that a bf16 dot product consumes at once. A matrix whose units
// are broadcast needs no packing where its pairs lie along its rows (K in S^T); elsewhere its rows
// are interleaved two by two, once per head (V in O^T).
#pragma once

#include <cstddef>
#include <cstdint>

namespace suffice::cpu {

inline constexpr int kMaxDim = 256;
inline constexpr int kTile = 64;       // lanes of a tile
inline constexpr int kGroupTiles = 2;  // tiles that read a step's keys while these are near
inline constexpr int kGroup = kTile * kGroupTiles;
inline constexpr int kStepRows = 128;  // tokens per step: two blocks of 64 or one of 128

// A matrix whose units are broadcast: unit u of row r is at data + r * row_bytes + u * unit_bytes.
struct UnitMatrix {
  const char* data;
  int64_t row_bytes;
  int64_t unit_bytes;
};

// Rows of a bf16 or fp32 tensor with D contiguous.
struct Rows {
  char* data;
  int64_t stride_bytes;
  Rows from(int64_t row) const { return {data + row * stride_bytes, stride_bytes}; }
};

// The blocks that a tile meets: ids[0, count), or blocks 0 .. count-1 where ids is null.
struct BlockList {
  const uint16_t* ids;
  int64_t count;
  int64_t at(int64_t n) const { return ids == nullptr ? n : ids[n]; }
};

// One head of a forward pass, ready for its tiles.
struct AttendHead {
  UnitMatrix k;  // key rows x units of the head dimension
  UnitMatrix v;  // head dimension x units of keys
  int64_t n_k;
  int block_k;
  int dim;
  float scale;
  bool causal;
  int64_t shift;  // N_k - N_q
};

inline constexpr int kFar = 4;

// Up to kGroup queries with one list. `far` are rows to bring near meanwhile for later groups, the
// most urgent last, kStepRows of them with the row_bytes of head.k; null: none. `then` is what the
// same thread will probably do next, with the strides of this head: its first step comes near
// during this group's last.
struct AttendGroup {
  Rows q;
  int64_t first;  // position of lane 0
  int rows;
  BlockList blocks;
  Rows o;
  float* lse;  // may be null
  int64_t lse_stride;
  const char* far[kFar];
  struct {
    const char* k;
    const char* v;
    BlockList blocks;
  } then;
};

// Up to kTile queries, rows row_ids[0, rows) of q, or where it is null those from row 0 of q on,
// which is query `first`.
struct FullLseTile {
  UnitMatrix k;
  Rows q;
  const int64_t* row_ids;
  int64_t first;
  int rows;
  int64_t n_k;
  int dim;
  float scale;
  bool causal;
  int64_t shift;
  float* lse;
  int64_t lse_stride;
};

// Half of the backward pass for up to kTile queries: dq by the list of key blocks,
//   dS = P (dP - delta),  P = e^(scale S + neg_lse),  dP = V dO^T,  dQ^T = scale K^T dS
// with neg_lse = -lse (-infinity where lse is -infinity) and delta = rowsum(dO o), both per query.
struct QueryGradient {
  UnitMatrix k, v;      // key rows x units
  UnitMatrix k_across;  // head dimension x units of keys
  Rows q, d_o, dq;
  int64_t first;
  int rows;
  const float* neg_lse;  // of the first query
  const float* delta;
  BlockList blocks;
  int block_k;
  int64_t n_k;
  int dim;
  float scale;
  bool causal;
  int64_t shift;
};

// The other half, for up to kTile keys: begin, then add for each query head that reads the key
// head, then end, with one scratch.
//   dV^T += dO^T P,  dK^T += scale Q^T dS
struct KeyGradient {
  Rows k, v, dk, dv;
  int64_t first;
  int rows;
  int64_t n_q;
  int dim;
  float scale;
  bool causal;
  int64_t shift;
};
struct KeyGradientHead {
  UnitMatrix q, d_o;                // query rows x units
  UnitMatrix q_across, d_o_across;  // head dimension x units of queries
  const float* neg_lse;
  const float* delta;
  BlockList blocks;
  int block_q;
};

// Scratch bytes that a call of each function needs, for head dimension dim.
struct AttentionKernels {
  bool pairs;       // units are bf16 pairs
  bool wide_input;  // inputs are bf16 and units fp32: K and V are widened when packed

  // k or v of a head, as the broadcast side of S^T wants it: a copy with the head dimension padded
  // to whole units, widened if need be. Only called where the tensor's own rows do not do.
  void (*copy_rows)(Rows from, int64_t rows, int dim, Rows to);
  // Interleaved by twos, [ceil(rows / 2)][dim] pairs; rows beyond the last count as zero.
  void (*pair_rows)(Rows from, int64_t rows, int dim, Rows to);

  size_t (*attend_scratch)(int dim);
  void (*attend)(const AttendHead& head, const AttendGroup& group, void* scratch);
  void (*full_lse)(const FullLseTile& tile, void* scratch);  // attend_scratch

  // neg_lse and delta of `rows` queries.
  void (*row_statistics)(Rows o, Rows d_o, const float* lse, int64_t lse_stride, int64_t rows,
                         int dim, float* neg_lse, float* delta);
  size_t (*gradient_scratch)(int dim);
  void (*query_gradient)(const QueryGradient& job, void* scratch);
  void (*key_gradient_begin)(const KeyGradient& job, void* scratch);
  void (*key_gradient_add)(const KeyGradient& job, const KeyGradientHead& head, void* scratch);
  void (*key_gradient_end)(const KeyGradient& job, void* scratch);
};

const AttentionKernels& KernelsPortable(bool bf16);
const AttentionKernels& KernelsAvx2(bool bf16);
const AttentionKernels& KernelsAvx512(bool bf16);
const AttentionKernels& KernelsAvx512Bf16();

}  // namespace suffice::cpu
