// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda_runtime_api.h>

#include "kernels/cuda/select/geometry.h"
#include "kernels/cuda/select/scores.h"

namespace suffice::cuda {

// Of a row's count: some score of the row is NaN.
inline constexpr uint32_t kNanBit = 1u << 31;

struct RowArgs {
  SelectGeometry geometry;
  int heads = 1;      // of a batch element
  int first_row = 0;  // rows [first_row, end_row) of all, numbered (b, h, i)
  int end_row = 0;
  HeadRows scores;                 // empty: not looked at (rules kMask and kAll)
  bool fill = false;               // write -inf where a block is not allowed
  const uint8_t* given = nullptr;  // of rule kMask
  int64_t given_batch = 0, given_head = 0, given_row = 0;
  SelectRule rule = SelectRule::kHybrid;
  SelectSetting setting;
  const int32_t* settings = nullptr;  // of each head, instead
  uint32_t* words = nullptr;          // (rows, words of 32 key blocks), out: a bit a block
  uint32_t* counts = nullptr;         // (rows), out: blocks kept, and kNanBit
  uint64_t* clear = nullptr;          // set to 0, for the kernel that comes next
  int64_t clear_count = 0;
};

// Chooses the blocks of each row.
void LaunchSelectRows(const RowArgs& args, cudaStream_t stream);

}  // namespace suffice::cuda
