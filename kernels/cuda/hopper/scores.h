// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/cuda/select/scores.h"

namespace suffice::cuda::hopper {

inline constexpr int kMostScoreDim = 128;

// LaunchScores of ../select/scores.h by Hopper's products, for dimensions up to kMostScoreDim.
void LaunchScores(const ScoreArgs& args, int first, int end, int multiprocessors,
                  cudaStream_t stream);

}  // namespace suffice::cuda::hopper
