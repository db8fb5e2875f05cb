// SPDX-License-Identifier: Apache-2.0
// Pinned memory through which host bytes go to the device in stream order without a wait: the host
// copies them into a ring and goes on; it waits only for room.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <deque>
#include <vector>

namespace suffice::cuda {

class Staging {
 public:
  Staging() = default;
  ~Staging();  // after the stream's last upload
  Staging(const Staging&) = delete;
  Staging& operator=(const Staging&) = delete;

  // Queues the copy of `bytes` bytes to device memory `to`; `from` may be reused on return.
  void Upload(void* to, const void* from, size_t bytes, cudaStream_t stream);

 private:
  struct Piece {  // of the ring, taken until `done`
    size_t begin, end;
    cudaEvent_t done;
  };
  size_t Reserve(size_t bytes);  // where in the ring
  void Release();                // of the oldest piece; waits for it

  std::byte* ring_ = nullptr;
  size_t head_ = 0;
  std::deque<Piece> taken_;  // oldest first
  std::vector<cudaEvent_t> free_events_;
};

}  // namespace suffice::cuda
