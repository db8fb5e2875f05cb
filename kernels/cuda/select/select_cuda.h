// SPDX-License-Identifier: Apache-2.0
// The masker: pool and select (kernels/attention.h, steps 1 to 3). One form for every GPU, type and
// shape, but for the scores, which Hopper multiplies its own way; what is aligned to 16 bytes goes
// faster.
//
// A selection is up to four kernels, none of which the host waits for and each of which is set up
// while the one before it ends (launch_next.h):
//   scores     q k^T of the pooled blocks, on tensor cores, fp32 by splitting (unless given)
//   rows       a warp a row finds the cut and writes a bit a block
//   transpose  the same bits column by column (where column lists are wanted)
//   lists      sums the counts and writes the ids
#pragma once

#include "kernels/backend.h"

namespace suffice::cuda {

void AddSelect(Backend& table);

}  // namespace suffice::cuda
