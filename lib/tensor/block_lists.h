// SPDX-License-Identifier: Apache-2.0
// Memory for the lists of kept blocks that select fills and attention reads.
#pragma once

#include "lib/tensor/tensor.h"

namespace suffice {

// Lists for (B, H, T_q, T_k) blocks, with room for all of them.
struct ListStorage {
  Tensor row_ptr, row_ids, column_ptr, column_ids;
  ListStorage() = default;
  ListStorage(Context& context, int64_t rows, int64_t columns, int64_t capacity, bool transposed);
  BlockLists rows() const { return {row_ptr, row_ids}; }
  BlockLists columns() const { return {column_ptr, column_ids}; }
};

}  // namespace suffice
