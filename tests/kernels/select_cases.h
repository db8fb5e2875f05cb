// SPDX-License-Identifier: Apache-2.0
// What the tests of select share: one selection with all of its operands, and how two compare.
#pragma once

#include <vector>

#include "kernels/backend.h"
#include "lib/tensor/tensor.h"

namespace suffice::testing {

inline constexpr uint64_t kSelectSeed = 5;

struct Selection {
  std::vector<int64_t> row_ptr, column_ptr;
  std::vector<uint16_t> row_ids, column_ids;
  std::vector<float> scores;
  int32_t nan = -1;
};

struct SelectCase {
  SelectParams p;  // everything but the views
  int64_t batch = 1, heads = 2;
  std::vector<int32_t> settings;
  std::vector<uint8_t> given;
  bool transposed = false;   // the scores are (B, T_q, H, T_k) in memory
  bool keeps_scores = true;  // else there is no such operand
  bool flags_nan = true;     // else there is no such operand
  int64_t t_q() const { return BlockCount(p.n_q, p.block.q); }
  int64_t t_k() const { return BlockCount(p.n_k, p.block.k); }
  int64_t blocks() const { return batch * heads * t_q() * t_k(); }
};

// More scores than the cuda backend's workspace holds: it selects in two parts, of which the first
// ends within a head. `small`: as many heads, of few blocks.
SelectCase CaseOfManyScores(bool small);

template <class T>
std::vector<T> ToVector(const Tensor& tensor) {
  const HostArray host = tensor.ToHost();
  return {host.values<T>().begin(), host.values<T>().end()};
}

// Selects from given scores, or from pooled q and k where `scores` is empty.
Selection RunSelect(Context& context, const SelectCase& c, const std::vector<float>& scores,
                    const Tensor& q = {}, const Tensor& k = {});

// Normal values.
Tensor Pooled(Context& context, const Shape& shape, uint32_t stream);

// Everything but the scores.
void ExpectSame(const Selection& a, const Selection& b);

}  // namespace suffice::testing
