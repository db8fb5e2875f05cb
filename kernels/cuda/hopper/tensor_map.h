// SPDX-License-Identifier: Apache-2.0
// How the copy engine sees a (B, H, N, D) tensor: boxes of 64 columns of D by some rows of N, in
// its 128-byte swizzle, coordinates (element, token, head, batch). Rows beyond N read as zeros.
#pragma once

#include <cuda.h>

#include <optional>
#include <string>

#include "lib/base/view.h"

namespace suffice::cuda::hopper {

inline constexpr int kBoxColumns = 64;  // of D in one box
inline constexpr int kGroupRows = 64;   // rows of a warpgroup's products: of its stores

// Why the copy engine cannot address a bf16 tensor: its start or a stride is no multiple of 16
// bytes. Nothing if it can.
std::optional<std::string> Unaddressable(const char* name, const View& x);

CUtensorMap MapOf(const View& x, int box_rows);

}  // namespace suffice::cuda::hopper
