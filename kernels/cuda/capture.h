// SPDX-License-Identifier: Apache-2.0
// Recordings of a stream's work as CUDA graphs: the seam's begin_recording, end_recording, replay.
#pragma once

#include "kernels/backend.h"

namespace suffice::cuda {

void AddCapture(Backend& table);
bool IsCapturing(const Context& context);

}  // namespace suffice::cuda
