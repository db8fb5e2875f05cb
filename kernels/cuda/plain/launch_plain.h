// SPDX-License-Identifier: Apache-2.0
// The plain form's kernels, as attention_plain.cc launches them.
#pragma once

#include "kernels/attention.h"
#include "kernels/cuda/launch.h"

namespace suffice::cuda::plain {

void Attend(const AttendParams& params, cudaStream_t stream);
void AttendBackward(const AttendBackwardParams& params, float* delta, cudaStream_t stream);
void FullLse(const FullLseParams& params, cudaStream_t stream);

}  // namespace suffice::cuda::plain
