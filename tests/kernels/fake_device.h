// SPDX-License-Identifier: Apache-2.0
// A device whose memory the host cannot read, on any machine: a backend named "fake" that computes
// with the reference's operations, in pages that fault on every access except while one of its own
// operations or copies runs. Code above the seam that touches device memory dies here as it would
// on a GPU.
#pragma once

#include "kernels/backend.h"

namespace suffice::testing {

// It records, too: what is queued in a recording runs at each replay and not before, in memory that
// holds NaN when it starts and is given back with the recording. A copy from or to the host dies in
// one.
//
// Registers the backend on the first call; Context({.backend = "fake"}) works from then on. It has
// every operation that the reference has.
const Backend& FakeDevice();

}  // namespace suffice::testing
