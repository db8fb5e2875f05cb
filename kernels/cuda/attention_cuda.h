// SPDX-License-Identifier: Apache-2.0
// The CUDA forms of kernels/attention.h. Each operation of attention exists in up to three forms,
// tried in this order; a context of Path::kPortable leaves the first out:
//
//   hopper/  bf16, D = 64 and 128, blocks of 64 or 128 tokens, rows aligned to 16 bytes
//   mma/     bf16 in blocks of multiples of 64, for every GPU from sm_80 on: mma.sync and cp.async
//   plain/   everything else: fp32, any D <= 256, any block, any stride
//
// A form's `supports` says what it does not take. Which form runs depends on shapes, types and
// alignment alone, so the same parameters on the same context give the same bits.
#pragma once

#include "kernels/backend.h"

namespace suffice {

void AddAttentionCuda(Backend& table);

const Operation<AttendParams>& MmaAttend();
const Operation<AttendParams>& PlainAttend();
const Operation<AttendBackwardParams>& MmaAttendBackward();
const Operation<AttendBackwardParams>& PlainAttendBackward();
const Operation<FullLseParams>& PlainFullLse();

}  // namespace suffice
