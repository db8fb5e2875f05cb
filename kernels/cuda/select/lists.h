// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

namespace suffice::cuda {

// Compressed lists of bit rows: list n holds the set bits of words[n * words_per_list ...].
struct ListJob {
  const uint32_t* words = nullptr;
  const uint32_t* counts = nullptr;  // set bits of each list; kNanBit may be set beside
  int words_per_list = 0;
  int lists = 0;
  int64_t* ptr = nullptr;   // (lists + 1), out
  uint16_t* ids = nullptr;  // out
};

// Words of 64 bits that LaunchLists finds cleared: how far the sum of counts has come.
int64_t ListStates(int row_lists, int column_lists);

// Writes the lists of rows, and those of columns unless there are none. The NaN bits of rows set or
// clear `nan_flag`; null: nobody asks. Follows a kernel of the same operation (launch_next.h).
void LaunchLists(const ListJob& rows, const ListJob& columns, uint64_t* states, int32_t* nan_flag,
                 cudaStream_t stream);

// Bits of rows to bits of columns, head by head, and the count of each column. Follows a kernel of
// the same operation.
struct TransposeArgs {
  const uint32_t* rows = nullptr;  // (heads, t_q, words of 32 key blocks)
  uint32_t* columns = nullptr;     // (heads, t_k, words of 32 query blocks), out
  uint32_t* counts = nullptr;      // (heads, t_k), out
  int heads = 0, t_q = 0, t_k = 0;
};
void LaunchTranspose(const TransposeArgs& args, cudaStream_t stream);

}  // namespace suffice::cuda
