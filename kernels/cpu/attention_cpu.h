// SPDX-License-Identifier: Apache-2.0
// The fast CPU forms of kernels/attention.h: drivers that plan memory and share the work among
// threads, over the vector code of attention_tile.h.
#pragma once

#include "kernels/backend.h"
#include "kernels/cpu/attention_tile.h"

namespace suffice {

void AddAttentionCpu(Backend& table);

namespace cpu {

void Attend(Context& context, const AttendParams& params, void* workspace);

size_t AttendWorkspaceBytes(const Context& context, const AttendParams& params);

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

// The broadcast side of a product made of one head's rows, in place or packed. All rows of all
// heads have the same form, so a plan is made once and Pack called for each head.
struct PackedRows {
  enum class Form { kInPlace, kCopied, kPaired } form;
  int64_t rows;
  int dim;
  char* memory;  // of the packed forms

  // Key rows x units of the head dimension, and head dimension x units of keys.
  static PackedRows AlongRows(const AttentionKernels& kernels, int64_t rows, int dim,
                              Carver& carver);
  static PackedRows AcrossRows(const AttentionKernels& kernels, int64_t rows, int dim,
                               Carver& carver);
  int64_t memory_row_bytes() const;  // of one packed row, or of one row of pairs
  UnitMatrix Units(const Rows& from, bool across) const;
};

// Packs rows [begin, end) where the form asks for it; begin is even.
void PackRows(const AttentionKernels& kernels, const PackedRows& packed, const Rows& from,
              int64_t begin, int64_t end);

inline constexpr int64_t kPackChunk = 256;  // rows per task of packing

}  // namespace cpu
}  // namespace suffice
