// SPDX-License-Identifier: Apache-2.0
// The mma form's kernels, as attention_mma.cc launches them.
#pragma once

#include "kernels/attention.h"
#include "kernels/cuda/launch.h"

namespace suffice::cuda::mma {

inline constexpr float kLog2E = 1.4426950408889634f;

size_t AttendWorkspaceBytes(const AttendParams& params);
void Attend(const AttendParams& params, void* workspace, cudaStream_t stream);

size_t AttendBackwardWorkspaceBytes(const AttendBackwardParams& params);
void AttendBackward(const AttendBackwardParams& params, void* workspace, cudaStream_t stream);

}  // namespace suffice::cuda::mma
