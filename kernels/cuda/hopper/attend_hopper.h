// SPDX-License-Identifier: Apache-2.0
// The Hopper forms of attention: bf16, D = 64 or 128, blocks of 64 or 128 queries by 64 or
// 128 keys, tensors whose rows start at multiples of 16 bytes.
#pragma once

#include "kernels/backend.h"

namespace suffice::cuda::hopper {

const Operation<AttendParams>& Attend();
const Operation<AttendBackwardParams>& AttendBackward();

// Why these forms do not take tensors like q under a block size, or nothing.
std::optional<std::string> UnsupportedShape(const View& q, BlockSize block);

}  // namespace suffice::cuda::hopper
