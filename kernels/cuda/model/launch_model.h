// SPDX-License-Identifier: Apache-2.0
// Launches of the model operations: each on `stream`, with a workspace of as many bytes as its
// ..Workspace says where it has one.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>

#include "kernels/model_ops.h"

namespace suffice::cuda {

void LaunchActivationBackward(const ActivationBackwardParams& p, cudaStream_t stream);
void LaunchAxpby(const AxpbyParams& p, cudaStream_t stream);
void LaunchSilu(const SiluParams& p, cudaStream_t stream);
void LaunchFill(const FillParams& p, cudaStream_t stream);
void LaunchNormalFill(const NormalFillParams& p, cudaStream_t stream);
void LaunchAdamW(const AdamWParams& p, cudaStream_t stream);

size_t GateBackwardWorkspace(const GateBackwardParams& p);
void LaunchGateBackward(const GateBackwardParams& p, void* workspace, cudaStream_t stream);
size_t SumRowsWorkspace(const SumRowsParams& p);
void LaunchSumRows(const SumRowsParams& p, void* workspace, cudaStream_t stream);
size_t MseWorkspace(const MseParams& p);
void LaunchMse(const MseParams& p, void* workspace, cudaStream_t stream);
size_t SumSquaresWorkspace(const SumSquaresParams& p);
void LaunchSumSquares(const SumSquaresParams& p, void* workspace, cudaStream_t stream);

void LaunchNormModulate(const NormModulateParams& p, cudaStream_t stream);
size_t NormModulateBackwardWorkspace(const NormModulateBackwardParams& p);
void LaunchNormModulateBackward(const NormModulateBackwardParams& p, void* workspace,
                                cudaStream_t stream);
size_t QkNormRopeBackwardWorkspace(const QkNormRopeBackwardParams& p);
void LaunchQkNormRopeBackward(const QkNormRopeBackwardParams& p, void* workspace,
                              cudaStream_t stream);

void LaunchEmbed(const EmbedParams& p, cudaStream_t stream);
void LaunchEmbedBackward(const EmbedBackwardParams& p, cudaStream_t stream);
void LaunchTimeFeatures(const TimeFeaturesParams& p, cudaStream_t stream);
void LaunchPatchify(const PatchifyParams& p, cudaStream_t stream);

}  // namespace suffice::cuda
