// SPDX-License-Identifier: Apache-2.0
// How the copy engine sees a (B, H, N, D) tensor of bf16 or fp32: boxes of 128 bytes of D by some
// rows of N, in its 128-byte swizzle, coordinates (element, token, head, batch). What lies beyond N
// and D reads as zeros and is not written.
#pragma once

#include <cuda.h>

#include <optional>
#include <string>

#include "lib/base/view.h"

namespace suffice::cuda::hopper {

inline constexpr int kBoxBytes = 128;              // of D in one box
inline constexpr int kBoxColumns = kBoxBytes / 2;  // of bf16
inline constexpr int kGroupRows = 64;              // rows of a warpgroup's products: of its stores

// Why the copy engine cannot address a tensor: its start or a stride is no multiple of 16 bytes.
// Nothing if it can.
std::optional<std::string> Unaddressable(const char* name, const View& x);

CUtensorMap MapOf(const View& x, int box_rows);

}  // namespace suffice::cuda::hopper
