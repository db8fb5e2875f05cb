// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/staging.h"

#include <algorithm>
#include <cstring>

#include "kernels/cuda/launch.h"

namespace suffice::cuda {
namespace {

constexpr size_t kRingBytes = size_t{64} << 20;  // a few steps' clips
constexpr size_t kPieceBytes = size_t{8} << 20;  // of a larger copy: one is filled while one flies
constexpr size_t kAlignment = 256;

}  // namespace

Staging::~Staging() {
  for (const Piece& piece : taken_) free_events_.push_back(piece.done);
  for (cudaEvent_t event : free_events_) cudaEventDestroy(event);
  if (ring_ != nullptr) cudaFreeHost(ring_);
}

void Staging::Release() {
  Check(cudaEventSynchronize(taken_.front().done), "upload");
  free_events_.push_back(taken_.front().done);
  taken_.pop_front();
}

size_t Staging::Reserve(size_t bytes) {
  if (head_ + bytes > kRingBytes) head_ = 0;
  const size_t begin = head_, end = head_ + bytes;
  // Pieces lie in the ring in the order of their age: what is in the way is the oldest.
  const auto in_the_way = [&](const Piece& p) { return p.begin < end && begin < p.end; };
  while (std::any_of(taken_.begin(), taken_.end(), in_the_way)) Release();
  head_ = end;
  return begin;
}

void Staging::Upload(void* to, const void* from, size_t bytes, cudaStream_t stream) {
  if (ring_ == nullptr) {
    void* memory = nullptr;
    Check(cudaMallocHost(&memory, kRingBytes), "pinned host memory");
    ring_ = static_cast<std::byte*>(memory);
  }
  for (size_t done = 0; done < bytes;) {
    const size_t part = std::min(bytes - done, kPieceBytes);
    const size_t begin = Reserve((part + kAlignment - 1) / kAlignment * kAlignment);
    std::memcpy(ring_ + begin, static_cast<const std::byte*>(from) + done, part);
    Check(cudaMemcpyAsync(static_cast<std::byte*>(to) + done, ring_ + begin, part,
                          cudaMemcpyHostToDevice, stream),
          "upload");
    cudaEvent_t event = nullptr;
    if (free_events_.empty()) {
      Check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "event");
    } else {
      event = free_events_.back();
      free_events_.pop_back();
    }
    Check(cudaEventRecord(event, stream), "event");
    taken_.push_back({begin, head_, event});
    done += part;
  }
}

}  // namespace suffice::cuda
