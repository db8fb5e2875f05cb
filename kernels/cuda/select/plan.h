// SPDX-License-Identifier: Apache-2.0
// How one selection runs: its sizes, what lies where in the workspace, and how many query blocks
// are scored at a time.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/cuda/carver.h"
#include "kernels/cuda/select/geometry.h"

namespace suffice::cuda {

// Scores that nobody asked for live in the workspace, for a part of the rows if need be.
inline constexpr int64_t kMostScores = int64_t{64} << 20;  // fp32 numbers: 256 MiB

struct SelectPlan {
  SelectGeometry geometry;
  int batch, heads, group;
  int64_t rows, columns;      // lists of each kind
  int words_k, words_q;       // of a row, of a column
  bool looks_at_scores;       // by the rule, for the flag or for entries that are to be -inf
  bool makes_scores;          // from pooled q and k
  int64_t scores_row = 0;     // stride of the scores in the workspace; 0: they are an operand
  int tile_rows, tiles;       // query blocks scored at once; tiles of one head
  int64_t tiles_at_once = 0;  // of all heads, for which the workspace has room

  float* scores;
  uint32_t* row_words;
  uint32_t* row_counts;
  uint32_t* column_words;
  uint32_t* column_counts;
  uint64_t* states;
  int64_t state_count;
  size_t bytes;

  int64_t all_tiles() const { return int64_t{batch} * heads * tiles; }
  // Rows [RowOf(first), RowOf(end)) are those of tiles [first, end), counted over all heads.
  int64_t RowOf(int64_t tile) const {
    return tile / tiles * geometry.t_q + tile % tiles * tile_rows;
  }

  SelectPlan(const SelectParams& p, int rows_of_tile, int64_t list_states, void* workspace)
      : geometry(GeometryOf(p)), tile_rows(rows_of_tile), state_count(list_states) {
    const bool pooled = !p.k_pooled.empty();
    const View& leader = pooled ? p.q_pooled : p.scores;
    batch = static_cast<int>(leader.dim(0));
    heads = static_cast<int>(leader.dim(1));
    group = pooled ? heads / static_cast<int>(p.k_pooled.dim(1)) : 1;
    rows = leader.dim(0) * leader.dim(1) * geometry.t_q;
    columns = leader.dim(0) * leader.dim(1) * geometry.t_k;
    words_k = (geometry.t_k + 31) / 32;
    words_q = (geometry.t_q + 31) / 32;
    tiles = (geometry.t_q + tile_rows - 1) / tile_rows;

    const bool by_rule = p.rule != SelectRule::kMask && p.rule != SelectRule::kAll;
    looks_at_scores = by_rule || !p.nan_flag.empty() || !p.scores.empty();
    makes_scores = pooled && looks_at_scores;
    tiles_at_once = std::max<int64_t>(all_tiles(), 1);
    if (makes_scores && p.scores.empty()) {
      scores_row = (geometry.t_k + 31) / 32 * 32;  // whole lines of memory
      tiles_at_once = std::clamp<int64_t>(kMostScores / (scores_row * tile_rows), 1, tiles_at_once);
    }
    Carver carver(workspace);
    scores = carver.Take<float>(
        scores_row > 0 ? std::min(rows, tiles_at_once * tile_rows) * scores_row : 0);
    row_words = carver.Take<uint32_t>(rows * words_k);
    row_counts = carver.Take<uint32_t>(rows);
    column_words = carver.Take<uint32_t>(p.columns.empty() ? 0 : columns * words_q);
    column_counts = carver.Take<uint32_t>(p.columns.empty() ? 0 : columns);
    states = carver.Take<uint64_t>(state_count);
    bytes = carver.bytes();
  }
};

}  // namespace suffice::cuda
