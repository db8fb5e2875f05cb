// SPDX-License-Identifier: Apache-2.0
// What every backend asks of the parameters of kernels/attention.h before it adds limits of its
// own. Each function has the form of Operation::supports: the reason why not, or nothing. They read
// shapes, types, strides and devices, never the data.
#pragma once

#include <optional>
#include <string>

#include "kernels/backend.h"

namespace suffice {

inline constexpr int64_t kMaxHeadDim = 256;
inline constexpr int64_t kMaxBlocks = 65536;    // ids are u16
inline constexpr int64_t kMaxTokens = 1 << 24;  // positions are exact in fp32

std::optional<std::string> Validate(const Context& context, const PoolParams& params);
std::optional<std::string> Validate(const Context& context, const SelectParams& params);
std::optional<std::string> Validate(const Context& context, const AttendParams& params);
std::optional<std::string> Validate(const Context& context, const AttendBackwardParams& params);
std::optional<std::string> Validate(const Context& context, const FullLseParams& params);
std::optional<std::string> Validate(const Context& context, const CountPairsParams& params);

}  // namespace suffice
