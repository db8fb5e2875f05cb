// SPDX-License-Identifier: Apache-2.0
// What the kernels of the backward pass are given: between attend_backward_hopper.cc, which fills
// it in, and attend_backward_{rows,queries,keys}.cu.
#pragma once

#include <cuda.h>

#include "kernels/cuda/hopper/schedule.h"
#include "lib/base/dtype.h"

namespace suffice::cuda::hopper {

// Where a gradient's rows lie, for results that do not go through the copy engine.
struct GradientRows {
  BFloat16* data = nullptr;
  int64_t batch = 0, head = 0, token = 0;  // strides
};

// Per query, padded to whole blocks: query t of sequence (b, h) is at (b H + h) padded + t. Queries
// that see no key, and padding, have lse2 = +infinity: their P is 0.
struct RowStatistics {
  float* lse2 = nullptr;   // log-sum-exp as a base-2 exponent
  float* delta = nullptr;  // sum of d_o * o
  int padded = 0;
};

// lse2 and delta of every query.
struct RowsArgs {
  const BFloat16* o;
  const BFloat16* d_o;
  const float* lse;
  int64_t o_batch, o_head, o_token, d_o_batch, d_o_head, d_o_token, lse_batch, lse_head, lse_token;
  int sequences, heads, n_q;
  float unit;  // of base-2 exponents in lse
  RowStatistics out;
};
void LaunchRows(const RowsArgs& args, int dim, cudaStream_t stream);

// dq by the lists of the query blocks, or dk and dv by those of the key blocks. Boxes of q and d_o
// hold block_q rows for dq, all others 64.
struct GradientArgs {
  CUtensorMap q, k, v, d_o;
  CUtensorMap first, second;  // dq; or dk, dv
  ListSet lists;
  Schedule schedule;
  int heads;               // of a row's sequence: H for dq, H_kv for dk and dv
  int heads_per_key_head;  // H / H_kv
  float c;                 // scale log2 e
  float scale;
  RowStatistics statistics;
  GradientRows first_rows, second_rows;
  float* parts;  // [slot][query][dim], or [slot][sub-block][dk, dv][64][dim]
};
void LaunchQueryGradient(const GradientArgs& args, int dim, int workers, cudaStream_t stream);
void LaunchKeyGradient(const GradientArgs& args, int dim, int workers, cudaStream_t stream);

}  // namespace suffice::cuda::hopper
