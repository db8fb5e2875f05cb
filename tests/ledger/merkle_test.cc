// SPDX-License-Identifier: Apache-2.0
#include "lib/ledger/merkle.h"

#include <gtest/gtest.h>

namespace suffice {
namespace {

std::string FromHex(const std::string& text) {
  std::string bytes;
  for (size_t i = 0; i < text.size(); i += 2) {
    bytes += static_cast<char>(std::stoi(text.substr(i, 2), nullptr, 16));
  }
  return bytes;
}

// The eight leaves and the roots of their first n that Certificate Transparency's own tests use.
constexpr const char* kLeaves[] = {"",
                                   "00",
                                   "10",
                                   "2021",
                                   "3031",
                                   "40414243",
                                   "5051525354555657",
                                   "606162636465666768696a6b6c6d6e6f"};
constexpr const char* kRoots[] = {
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"};

TEST(Merkle, GivesTheRootsOfCertificateTransparency) {
  std::vector<Hash> leaves;
  EXPECT_EQ(Hex(TreeHash(leaves)), kRoots[0]);
  for (size_t i = 0; i < 8; ++i) {
    leaves.push_back(LeafHash(FromHex(kLeaves[i])));
    EXPECT_EQ(Hex(TreeHash(leaves)), kRoots[i + 1]);
    EXPECT_EQ(Hex(RootFromEdge({leaves})), kRoots[i + 1]);
  }
}

TEST(Merkle, RootFromTilesIsTheRootOfAllLeaves) {
  for (const size_t size : {1, 255, 256, 257, 511, 512, 600, 65536, 65537, 66000}) {
    std::vector<Hash> level;
    for (size_t i = 0; i < size; ++i) level.push_back(LeafHash(std::to_string(i)));
    const Hash root = TreeHash(level);
    std::vector<std::vector<Hash>> edge;
    while (!level.empty()) {
      const size_t full = level.size() / kTileWidth;
      std::vector<Hash> above;
      for (size_t n = 0; n < full; ++n) {
        above.push_back(TreeHash(std::span(level).subspan(n * kTileWidth, kTileWidth)));
      }
      edge.emplace_back(level.begin() + static_cast<ptrdiff_t>(full * kTileWidth), level.end());
      level = std::move(above);
    }
    EXPECT_EQ(Hex(RootFromEdge(edge)), Hex(root)) << size;
  }
}

TEST(TilePath, IsThatOfTlogTiles) {
  EXPECT_EQ(TilePath(0, 0, 256), "tile/0/000");
  EXPECT_EQ(TilePath(0, 1234067, 256), "tile/0/x001/x234/067");
  EXPECT_EQ(TilePath(1, 999, 17), "tile/1/999.p/17");
  EXPECT_EQ(TilePath(2, 1000, 1), "tile/2/x001/000.p/1");
  EXPECT_EQ(TilePath(-1, 5, 256), "tile/entries/005");
  EXPECT_EQ(TilePath(-1, 1000, 3), "tile/entries/x001/000.p/3");
}

}  // namespace
}  // namespace suffice
