// SPDX-License-Identifier: Apache-2.0
// Work that is queued again and again, the same each time but for what its inputs hold: recorded at
// its second run and replayed from then on, so that the host's part in it is one call. Where a
// backend has no recordings, and while operations are profiled, each run does the work itself: the
// same bits either way.
#pragma once

#include <functional>

#include "kernels/backend.h"

namespace suffice {

class Replay {
 public:
  explicit Replay(Context& context) : context_(&context) {}
  ~Replay();
  Replay(const Replay&) = delete;
  Replay& operator=(const Replay&) = delete;

  // `work` queues operations on tensors that outlive this object or that it makes and drops itself.
  // It neither waits, reads the device nor copies from the host, and decides nothing by what may
  // change between runs.
  void Run(const std::function<void()>& work);

 private:
  void Record(const std::function<void()>& work);
  void Drop();

  Context* context_;
  bool warm_ = false;  // ran once: what is made at first use is there
  void* recording_ = nullptr;
  const void* workspace_ = nullptr;  // what was recorded uses this one
};

}  // namespace suffice
