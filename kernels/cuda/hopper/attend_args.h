// SPDX-License-Identifier: Apache-2.0
// What the forward kernel is given: between attend_hopper.cc, which fills it in, and attend.cu.
#pragma once

#include <cuda.h>

#include "kernels/cuda/hopper/schedule.h"
#include "lib/base/dtype.h"

namespace suffice::cuda::hopper {

struct AttendArgs {
  CUtensorMap q, k, v, o;
  ListSet lists;
  Schedule schedule;
  int heads, heads_per_key_head;
  float c;     // scale log2 e
  float unit;  // of base-2 exponents in lse: ln 2, but for the rounding of c
  BFloat16* o_data;
  int64_t o_batch, o_head, o_token;  // strides
  float* lse;                        // null: not wanted
  int64_t lse_batch, lse_head, lse_token;
  float* partial_o;    // [slot][query][dim]
  float* partial_lse;  // [slot][query]
};

void LaunchAttend(const AttendArgs& args, int dim, int workers, cudaStream_t stream);

}  // namespace suffice::cuda::hopper
