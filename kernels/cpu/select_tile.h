// SPDX-License-Identifier: Apache-2.0
// The vector code of pool and select, once per instruction set: see attention_tile.h.
#pragma once

#include "kernels/cpu/attention_tile.h"
#include "kernels/select_rule.h"

namespace suffice::cpu {

inline constexpr int kScoreRows = 12;  // query blocks scored together

struct SelectKernels {
  // out[d] = mean over `rows` rows, added in ascending order; bf16 or fp32 rows.
  void (*pool_bf16)(Rows x, int64_t rows, int dim, float* out);
  void (*pool_f32)(Rows x, int64_t rows, int dim, float* out);

  // Up to kTile pooled keys side by side: to[d][lane], lanes beyond them zero.
  void (*pack_keys)(const float* keys, int64_t stride, int rows, int dim, float* to);

  // out[r][j] = scale q_r . k_j for `rows` <= kScoreRows pooled queries and all tiles of packed
  // keys; rows of out are out_stride, a multiple of kTile, apart.
  void (*scores)(const float* q, int64_t q_stride, int rows, const float* keys, int tiles, int dim,
                 float scale, float* out, int64_t out_stride);

  // The rule of select_rule.h, by thresholds instead of a sort: bit j of keep[j / 64] for each
  // allowed block j, the others of the last word zero. Sets *nan if a score is NaN. `scratch` holds
  // two u32 per block. Returns the number kept.
  int64_t (*select_row)(const float* scores, int64_t allowed, const RowRule& rule,
                        uint32_t* scratch, uint64_t* keep, bool* nan);
};

const SelectKernels& SelectKernelsPortable();
const SelectKernels& SelectKernelsAvx2();
const SelectKernels& SelectKernelsAvx512();

}  // namespace suffice::cpu
