// SPDX-License-Identifier: Apache-2.0
#include "lib/tensor/replay.h"

#include <utility>

namespace suffice {

Replay::~Replay() { Drop(); }

void Replay::Drop() {
  if (recording_ != nullptr) context_->backend().free_recording(*context_, recording_);
  recording_ = nullptr;
}

void Replay::Record(const std::function<void()>& work) {
  const Backend& backend = context_->backend();
  Drop();
  workspace_ = context_->workspace();
  backend.begin_recording(*context_);
  try {
    work();
  } catch (...) {
    try {
      recording_ = backend.end_recording(*context_);
    } catch (...) {  // the first error is the one to tell
    }
    Drop();
    throw;
  }
  recording_ = backend.end_recording(*context_);
}

void Replay::Run(const std::function<void()>& work) {
  const Backend& backend = context_->backend();
  if (backend.begin_recording == nullptr || context_->profile() != nullptr ||
      !std::exchange(warm_, true)) {
    return work();
  }
  if (recording_ == nullptr || workspace_ != context_->workspace()) Record(work);
  backend.replay(*context_, recording_);
}

}  // namespace suffice
