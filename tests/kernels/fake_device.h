// SPDX-License-Identifier: Apache-2.0
// A device whose memory the host cannot read, on any machine: a backend named "fake" that computes
// with the reference's operations, in pages that fault on every access except while one of its own
// operations or copies runs. Code above the seam that touches device memory dies here as it would
// on a GPU.
#pragma once

#include "kernels/backend.h"

namespace suffice::testing {

// Registers the backend on the first call; Context({.backend = "fake"}) works from then on. It has
// every operation that the reference has.
const Backend& FakeDevice();

}  // namespace suffice::testing
