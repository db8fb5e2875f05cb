// SPDX-License-Identifier: Apache-2.0
#include "lib/ledger/merkle.h"

#include <fmt/core.h>

#include <bit>

namespace suffice {

Hash LeafHash(std::string_view entry) {
  Sha256 sha;
  sha.Update(std::string_view("\0", 1));
  sha.Update(entry);
  return sha.Finish();
}

Hash NodeHash(const Hash& left, const Hash& right) {
  Sha256 sha;
  sha.Update("\1");
  sha.Update(left.data(), left.size());
  sha.Update(right.data(), right.size());
  return sha.Finish();
}

Hash TreeHash(std::span<const Hash> leaves) {
  if (leaves.empty()) return Sha256Of("");
  if (leaves.size() == 1) return leaves[0];
  const size_t split = std::bit_floor(leaves.size() - 1);  // largest power of two below the size
  return NodeHash(TreeHash(leaves.first(split)), TreeHash(leaves.subspan(split)));
}

std::string TilePath(int level, uint64_t n, uint64_t width) {
  std::string path = level < 0 ? "tile/entries" : fmt::format("tile/{}", level);
  std::vector<uint64_t> groups;
  for (uint64_t rest = n;; rest /= 1000) {
    groups.push_back(rest % 1000);
    if (rest < 1000) break;
  }
  for (size_t i = groups.size(); i-- > 0;) {
    path += fmt::format("/{}{:03d}", i == 0 ? "" : "x", groups[i]);
  }
  if (width != kTileWidth) path += fmt::format(".p/{}", width);
  return path;
}

Hash RootFromEdge(const std::vector<std::vector<Hash>>& edge) {
  // Perfect subtrees from left to right, each smaller than the one before it.
  struct Subtree {
    int height;
    Hash hash;
  };
  std::vector<Subtree> subtrees;
  for (size_t level = edge.size(); level-- > 0;) {
    for (const Hash& hash : edge[level]) {
      Subtree next{static_cast<int>(8 * level), hash};
      while (!subtrees.empty() && subtrees.back().height == next.height) {
        next = {next.height + 1, NodeHash(subtrees.back().hash, next.hash)};
        subtrees.pop_back();
      }
      subtrees.push_back(next);
    }
  }
  if (subtrees.empty()) return Sha256Of("");
  Hash root = subtrees.back().hash;
  for (size_t i = subtrees.size() - 1; i-- > 0;) root = NodeHash(subtrees[i].hash, root);
  return root;
}

}  // namespace suffice
