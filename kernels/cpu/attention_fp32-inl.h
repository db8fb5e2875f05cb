// SPDX-License-Identifier: Apache-2.0
// The table of an instruction set whose units are fp32 values: bf16 inputs are widened.
#pragma once

#include "kernels/cpu/attend-inl.h"
#include "kernels/cpu/attend_backward-inl.h"

namespace suffice::cpu {
namespace {

template <class V, class Input>
constexpr AttentionKernels kFp32Kernels = {
    .pairs = false,
    .wide_input = sizeof(Input) == sizeof(uint16_t),
    .copy_rows = &CopyRows<V, Input>,
    .pair_rows = nullptr,
    .attend_scratch = &AttendScratch<V>,
    .attend = &Attend<V, Input>,
    .full_lse = &FullLse<V, Input>,
    .row_statistics = &RowStatistics<V, Input>,
    .gradient_scratch = &GradientScratchBytes<V>,
    .query_gradient = &QueryGradientOf<V, Input>,
    .key_gradient_begin = &KeyGradientBegin<V, Input>,
    .key_gradient_add = &KeyGradientAdd<V>,
    .key_gradient_end = &KeyGradientEnd<V, Input>,
};

}  // namespace
}  // namespace suffice::cpu
