// SPDX-License-Identifier: Apache-2.0
#include "lib/tensor/block_lists.h"

namespace suffice {

ListStorage::ListStorage(Context& context, int64_t rows, int64_t columns, int64_t capacity,
                         bool transposed)
    : row_ptr(context, DType::kI64, {rows + 1}), row_ids(context, DType::kU16, {capacity}) {
  if (!transposed) return;
  column_ptr = Tensor(context, DType::kI64, {columns + 1});
  column_ids = Tensor(context, DType::kU16, {capacity});
}

}  // namespace suffice
