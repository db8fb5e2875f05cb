// SPDX-License-Identifier: Apache-2.0
// Lists of kept blocks on the host: made at random for a benchmark, and read again to check what a
// kernel made of them.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/attention.h"

namespace suffice::bench {

enum class ListSpread : uint8_t {
  kEqual,      // every row keeps the same number of blocks
  kLogNormal,  // numbers are log-normal about the same mean: what selection by mass gives
  kGiven,      // lists of a mask
};

// Standard deviation of the logarithm of a row's number of blocks.
inline constexpr double kLogNormalSigma = 0.8;

struct HostLists {
  std::vector<int64_t> ptr = {0};  // rows + 1
  std::vector<uint16_t> ids;       // ascend within a row

  int64_t rows() const { return static_cast<int64_t>(ptr.size()) - 1; }
  std::span<const uint16_t> row(int64_t i) const;
};

// Number of blocks of t_k that row `row` keeps at this density: at least one, at most all. Of
// equal or log-normal lists.
int64_t KeptBlocks(ListSpread spread, double density, int64_t t_k, int64_t row);

// `rows` lists of random distinct blocks out of t_k, other ones in every row.
HostLists RandomLists(ListSpread spread, double density, int64_t rows, int64_t t_k);

// The kept blocks, non-zero, of a mask of rows of t_k blocks.
HostLists ListsOf(std::span<const uint8_t> mask, int64_t t_k);

// From lists of `heads` heads over `outer` rows of blocks in [0, inner): the lists of who keeps
// each block, heads * inner rows.
HostLists Transpose(const HostLists& lists, int64_t heads, int64_t outer, int64_t inner);

// (query, key) token pairs of the listed blocks, for t_q rows a head of n tokens.
double ListedPairs(const HostLists& rows, int64_t n, BlockSize block);

}  // namespace suffice::bench
