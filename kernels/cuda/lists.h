// SPDX-License-Identifier: Apache-2.0
// What kernels of attention know beside their tensors: lengths, blocks, and which blocks are kept.
// Dense attention and lists are read through the same two functions, RowBlocks and ColumnBlocks, so
// a list of every allowed block gives the bits of no list.
//
// "Head" counts query heads over the whole batch: b * H + h.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/attention.h"

namespace suffice::cuda {

struct Scope {
  int n_q = 0, n_k = 0;
  int heads = 1, group = 1;  // query heads of one batch element; of them to a key head
  int block_q = 1, block_k = 1;
  int t_q = 0, t_k = 0;
  bool causal = false;
  const int64_t* row_ptr = nullptr;  // null: dense
  const uint16_t* row_ids = nullptr;
  const int64_t* column_ptr = nullptr;
  const uint16_t* column_ids = nullptr;
};

// Of attend, attend_backward or full_lse. A block larger than the tensor is as good as one that
// just holds it, and leaves no room for overflow.
inline Scope ScopeOf(const View& q, const View& k, BlockSize block, const AttentionMask& mask,
                     const BlockLists& rows, const BlockLists& columns) {
  Scope scope;
  scope.n_q = static_cast<int>(q.dim(2));
  scope.n_k = static_cast<int>(k.dim(2));
  scope.heads = static_cast<int>(q.dim(1));
  scope.group = static_cast<int>(q.dim(1) / k.dim(1));
  scope.block_q = std::min(block.q, scope.n_q);
  scope.block_k = std::min(block.k, scope.n_k);
  scope.t_q = static_cast<int>(BlockCount(scope.n_q, scope.block_q));
  scope.t_k = static_cast<int>(BlockCount(scope.n_k, scope.block_k));
  scope.causal = mask.causal;
  if (!rows.empty()) {
    scope.row_ptr = rows.ptr.ptr<int64_t>();
    scope.row_ids = rows.ids.ptr<uint16_t>();
  }
  if (!columns.empty()) {
    scope.column_ptr = columns.ptr.ptr<int64_t>();
    scope.column_ids = columns.ids.ptr<uint16_t>();
  }
  return scope;
}

// A (B, H, N, D) tensor as kernels see it, D contiguous. Strides are in elements.
template <class T>
struct Heads {
  T* data = nullptr;
  int64_t batch = 0, head = 0, token = 0;

#ifdef __CUDACC__
  __device__ T* Row(int b, int h, int t) const { return data + b * batch + h * head + t * token; }
#endif
};

template <class T>
Heads<T> HeadsOf(const View& view) {
  return {static_cast<T*>(view.data), view.stride(0), view.stride(1), view.stride(2)};
}

#ifdef __CUDACC__

// The last key that query t may see; negative if there is none.
__device__ inline int LastKey(const Scope& scope, int t) {
  return scope.causal ? min(t + scope.n_k - scope.n_q, scope.n_k - 1) : scope.n_k - 1;
}

// The first query that may see a key; every later one may too.
__device__ inline int FirstQuery(const Scope& scope, int key) {
  return scope.causal ? max(key - (scope.n_k - scope.n_q), 0) : 0;
}

// The blocks that one row keeps of its head's keys, or one column of its head's queries, ascending.
struct KeptBlocks {
  const uint16_t* ids;  // null: first, first + 1, ...
  int first;
  int count;
  __device__ int operator[](int n) const { return ids != nullptr ? ids[n] : first + n; }
};

__device__ inline KeptBlocks Listed(const int64_t* ptr, const uint16_t* ids, int64_t row) {
  return {ids + ptr[row], 0, static_cast<int>(ptr[row + 1] - ptr[row])};
}

// Key blocks of query block i.
__device__ inline KeptBlocks RowBlocks(const Scope& scope, int head, int i) {
  if (scope.row_ptr != nullptr) {
    return Listed(scope.row_ptr, scope.row_ids, int64_t{head} * scope.t_q + i);
  }
  const int last_key = LastKey(scope, min((i + 1) * scope.block_q, scope.n_q) - 1);
  return {nullptr, 0, last_key < 0 ? 0 : last_key / scope.block_k + 1};
}

// Query blocks of key block j.
__device__ inline KeptBlocks ColumnBlocks(const Scope& scope, int head, int j) {
  if (scope.column_ptr != nullptr) {
    return Listed(scope.column_ptr, scope.column_ids, int64_t{head} * scope.t_k + j);
  }
  const int first = FirstQuery(scope, j * scope.block_k) / scope.block_q;
  return {nullptr, first, max(scope.t_q - first, 0)};
}

// Kept blocks in tiles of 64 tokens, for kernels whose blocks are multiples of it. Tiles without an
// allowed pair, or past the end of the tensor, are left out at either end.
inline constexpr int kListTile = 64;

struct KeptTiles {
  KeptBlocks blocks;
  int per_block;
  int begin, end;  // of n
  __device__ int operator[](int n) const {
    return blocks[n / per_block] * per_block + n % per_block;
  }
};

// Key tiles of the queries up to last_query of query block i.
__device__ inline KeptTiles RowTiles(const Scope& scope, int head, int i, int last_query) {
  const int per_block = (scope.block_k + kListTile - 1) / kListTile;
  KeptTiles tiles = {RowBlocks(scope, head, i), per_block, 0, 0};
  tiles.end = tiles.blocks.count * per_block;
  const int last_key = LastKey(scope, last_query);
  while (tiles.end > 0 && tiles[tiles.end - 1] * kListTile > last_key) --tiles.end;
  return tiles;
}

// Query tiles of the keys from first_key on of key block j.
__device__ inline KeptTiles ColumnTiles(const Scope& scope, int head, int j, int first_key) {
  const int per_block = (scope.block_q + kListTile - 1) / kListTile;
  KeptTiles tiles = {ColumnBlocks(scope, head, j), per_block, 0, 0};
  tiles.end = tiles.blocks.count * per_block;
  const int first_query = FirstQuery(scope, first_key);
  while (tiles.end > 0 && tiles[tiles.end - 1] * kListTile >= scope.n_q) --tiles.end;
  while (tiles.begin < tiles.end && (tiles[tiles.begin] + 1) * kListTile <= first_query) {
    ++tiles.begin;
  }
  return tiles;
}

#endif  // __CUDACC__

}  // namespace suffice::cuda
