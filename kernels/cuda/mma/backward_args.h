// SPDX-License-Identifier: Apache-2.0
// attend_backward, mma form, without atomics. With c = scale log2 e and, for every query, its lse
// in base-2 exponents and delta = rowsum(do o), scores and weights are computed anew where needed:
//
//   p = exp2(c q k^T - lse)     dp = do v^T     ds = p (dp - delta)
//   dq = scale ds k       by rows: a CTA owns 64 queries and walks the keys that they keep
//   dv = p^T do           by columns: a CTA owns 64 keys and walks the queries that keep them, of
//   dk = scale ds^T q     all heads of the key head's group in order
//
// Tiles are 64 x 64, 16 rows a warp; what the walk meets is fetched one tile ahead.
#pragma once

#include "kernels/cuda/launch.h"
#include "kernels/cuda/lists.h"

namespace suffice::cuda::mma {

// Of one query. Rows without a key have lse = inf instead of -inf, and so have the places between
// the last query and the end of its tile: all their weights become zero.
struct RowStats {
  float lse;  // in base-2 exponents
  float delta;
};

struct BackwardArgs {
  Scope scope;
  Heads<const BFloat16> q, k, v, o, d_o;
  Heads<const float> lse;
  Heads<BFloat16> dq, dk, dv;
  RowStats* stats;  // [head][query, padded to whole tiles]
  int query_tiles, key_tiles;
  const int* query_order;  // null: as they stand, from the last
  const int* key_order;    // null: as they stand
  float scale;
  float c;         // scale log2 e
  float per_unit;  // of lse in base-2 exponents: log2 e, but for the rounding of c
};

void LaunchQueries(const BackwardArgs& args, int dim, int64_t heads, cudaStream_t stream);
void LaunchKeys(const BackwardArgs& args, int dim, int64_t key_heads, cudaStream_t stream);

}  // namespace suffice::cuda::mma
