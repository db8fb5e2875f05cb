// SPDX-License-Identifier: Apache-2.0
// The hashes of RFC 6962, section 2.1, and of the tiles that C2SP tlog-tiles cuts its tree into.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/digest.h"

namespace suffice {

using Hash = Sha256Digest;

Hash LeafHash(std::string_view entry);               // SHA-256(0x00 || entry)
Hash NodeHash(const Hash& left, const Hash& right);  // SHA-256(0x01 || left || right)
Hash TreeHash(std::span<const Hash> leaves);         // MTH; of none: SHA-256 of nothing

inline constexpr uint64_t kTileWidth = 256;

// "tile/0/x001/234.p/17": the tile of `level` (-1: entries) with index `n`; width 256 is a full
// tile.
std::string TilePath(int level, uint64_t n, uint64_t width);

// Root of a tree of `size` leaves from its right edge: edge[L] holds the hashes of the last,
// partial tile at level L, (size >> 8 L) mod 256 of them.
Hash RootFromEdge(const std::vector<std::vector<Hash>>& edge);

}  // namespace suffice
