// SPDX-License-Identifier: Apache-2.0
// Cuts a workspace into arrays, each aligned to 256 bytes. Without a workspace it only counts.
#pragma once

#include <cstddef>
#include <cstdint>

namespace suffice::cuda {

class Carver {
 public:
  explicit Carver(void* base) : base_(static_cast<char*>(base)) {}
  template <class T>
  T* Take(int64_t count) {
    char* piece = base_ == nullptr ? nullptr : base_ + bytes_;
    bytes_ += (static_cast<size_t>(count) * sizeof(T) + 255) / 256 * 256;
    return reinterpret_cast<T*>(piece);
  }
  size_t bytes() const { return bytes_; }

 private:
  char* base_;
  size_t bytes_ = 0;
};

}  // namespace suffice::cuda
