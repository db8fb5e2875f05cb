// SPDX-License-Identifier: Apache-2.0
// Adds the fast versions of kernels/model_ops.h to a table, topic by topic, and what they share.
#pragma once

#include <algorithm>

#include "kernels/backend.h"
#include "kernels/cpu/row_kernels.h"
#include "kernels/model_ops_check.h"

namespace suffice::cpu {

void AddLinear(Backend& backend);
void AddNorm(Backend& backend);
void AddRope(Backend& backend);
void AddElementwise(Backend& backend);
void AddEmbed(Backend& backend);
void AddOptimizer(Backend& backend);

template <class Params>
std::optional<std::string> Supports(const Context& context, const Params& p) {
  return Validate(context, p);
}
template <class Params>
size_t NoWorkspace(const Context&, const Params&) {
  return 0;
}
template <class Params>
Operation<Params> Plain(void (*run)(Context&, const Params&, void*)) {
  return {&Supports<Params>, &NoWorkspace<Params>, run};
}

inline constexpr int64_t kRowsPerChunk = 64;
inline constexpr int64_t kElementsPerPiece = 8192;

// Rows in groups, cut into chunks that no thread count changes: sums over rows are made per chunk
// and the chunks' sums are added in order.
class RowChunks {
 public:
  RowChunks(int64_t groups, int64_t rows)
      : groups_(groups),
        rows_(groups > 0 ? rows / groups : 0),
        per_group_((rows_ + kRowsPerChunk - 1) / kRowsPerChunk) {}
  struct Chunk {
    int64_t group, begin, end;  // rows [begin, end) of the whole
  };
  int64_t count() const { return groups_ * per_group_; }
  int64_t groups() const { return groups_; }
  int64_t per_group() const { return per_group_; }
  Chunk operator[](int64_t i) const {
    const int64_t group = i / per_group_, begin = i % per_group_ * kRowsPerChunk;
    return {group, group * rows_ + begin, group * rows_ + std::min(rows_, begin + kRowsPerChunk)};
  }

 private:
  int64_t groups_, rows_, per_group_;
};

// out[g] (+)= sum of the chunk sums `partials` (chunks.count(), stride) of group g; out (G, n)
// fp32.
void AddChunkSums(Context& context, const RowChunks& chunks, const float* partials, int64_t stride,
                  int64_t n, const View& out, bool accumulate);

// A flat array in pieces: body(begin, end).
template <class Body>
void ForPieces(Context& context, int64_t count, const Body& body) {
  const int64_t pieces = (count + kElementsPerPiece - 1) / kElementsPerPiece;
  context.pool().ParallelFor(pieces, 1, [&](int64_t i, int) {
    body(i * kElementsPerPiece, std::min(count, (i + 1) * kElementsPerPiece));
  });
}

}  // namespace suffice::cpu

namespace suffice {

void AddModelOpsCpu(Backend& backend);

}  // namespace suffice
