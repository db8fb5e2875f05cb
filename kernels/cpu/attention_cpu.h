// SPDX-License-Identifier: Apache-2.0
// The fast CPU forms of kernels/attention.h: drivers that plan memory and share the work among
// threads, over the vector code of attention_tile.h.
#pragma once

#include <algorithm>

#include "kernels/backend.h"
#include "kernels/cpu/attention_tile.h"

namespace suffice {

void AddAttentionCpu(Backend& table);

namespace cpu {

void Attend(Context& context, const AttendParams& params, void* workspace);
void AttendBackward(Context& context, const AttendBackwardParams& params, void* workspace);
void Pool(Context& context, const PoolParams& params, void* workspace);
void Select(Context& context, const SelectParams& params, void* workspace);
void FullLse(Context& context, const FullLseParams& params, void* workspace);

size_t AttendWorkspaceBytes(const Context& context, const AttendParams& params);
size_t AttendBackwardWorkspaceBytes(const Context& context, const AttendBackwardParams& params);
size_t SelectWorkspaceBytes(const Context& context, const SelectParams& params);
size_t FullLseWorkspaceBytes(const Context& context, const FullLseParams& params);

// The tables for a context's instruction set and an input type.
const AttentionKernels& KernelsFor(const Context& context, DType dtype);

// Rows of head h of a (B, H, N, D) view.
inline Rows RowsOf(const View& view, int64_t b, int64_t h) {
  const auto size = static_cast<int64_t>(SizeOf(view.dtype));
  return {static_cast<char*>(view.data) + (b * view.stride(0) + h * view.stride(1)) * size,
          view.stride(2) * size};
}

// Cuts a workspace into 64-byte aligned pieces. With a null base it only counts, so that one plan
// gives both the number of bytes and the pieces.
class Carver {
 public:
  explicit Carver(void* base) : base_(static_cast<char*>(base)) {}
  template <class T = char>
  T* Take(int64_t count) {
    char* piece = base_ == nullptr ? nullptr : base_ + bytes_;
    bytes_ += (static_cast<size_t>(count) * sizeof(T) + 63) / 64 * 64;
    return reinterpret_cast<T*>(piece);
  }
  size_t bytes() const { return bytes_; }

 private:
  char* base_;
  size_t bytes_ = 0;
};

// The rows of one head as the broadcast side of products: along them (rows x units of the head
// dimension, as in S^T = K Q^T) and across them (head dimension x units of rows, as in O^T = V^T
// P^T). A plan is made once; Pack is called for the rows of each head, Along and Across after it.
class PackedHead {
 public:
  PackedHead() = default;
  PackedHead(const AttentionKernels& kernels, int64_t rows, int dim, bool along, bool across,
             Carver& carver);
  bool packs() const { return copies_ || pairs_; }
  void Pack(const Rows& from, int64_t begin, int64_t end) const;  // begin even
  UnitMatrix Along(const Rows& from) const;
  UnitMatrix Across(const Rows& from) const;

 private:
  bool copies_ = false;  // rows that do not do as they are: to be widened, or of odd length
  bool pairs_ = false;
  const AttentionKernels* kernels_ = nullptr;
  int dim_ = 0;
  int64_t copied_row_bytes_ = 0;
  int64_t paired_row_bytes_ = 0;
  char* copied_ = nullptr;
  char* paired_ = nullptr;
};

inline constexpr int64_t kPackChunk = 256;  // rows per task of packing
inline int64_t PackChunks(int64_t rows) { return (rows + kPackChunk - 1) / kPackChunk; }

// One head's block lists, or all allowed blocks where there are none.
inline BlockList ListOf(const BlockLists& lists, int64_t row) {
  const int64_t* ptr = lists.ptr.ptr<int64_t>() + row;
  return {lists.ids.ptr<uint16_t>() + ptr[0], ptr[1] - ptr[0]};
}

// Sorts tasks 0 .. count-1 by descending work(task), ties in order: the longest first, so that no
// thread is left with a long one at the end.
template <class Work>
void SortByWork(int32_t* tasks, int64_t count, Work work) {
  for (int32_t n = 0; n < static_cast<int32_t>(count); ++n) tasks[n] = n;
  std::sort(tasks, tasks + count, [&](int32_t x, int32_t y) {
    const int64_t work_x = work(x);
    const int64_t work_y = work(y);
    return work_x != work_y ? work_x > work_y : x < y;
  });
}

}  // namespace cpu
}  // namespace suffice
