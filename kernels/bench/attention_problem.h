// SPDX-License-Identifier: Apache-2.0
// The inputs of one attention benchmark in a device's memory, and a check of what came out: rows
// drawn at random are computed again on the host, in double, from the definition.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/backend.h"

namespace suffice::bench {

// Memory of a context's device under one contiguous view.
class DeviceArray {
 public:
  DeviceArray() = default;
  DeviceArray(Context& context, DType dtype, const Shape& shape);
  ~DeviceArray();
  DeviceArray(DeviceArray&& other) noexcept;
  DeviceArray& operator=(DeviceArray&& other) noexcept;

  const View& view() const { return view_; }
  void Set(const void* values);  // view().bytes() bytes of host memory
  void Get(void* values) const;

 private:
  Context* context_ = nullptr;
  View view_;
};

struct ProblemShape {
  int64_t batch = 1;
  int64_t heads = 1;
  int64_t n = 0;  // N_q = N_k, H_kv = H
  int64_t dim = 0;
  BlockSize block;
  double density = 1.0;  // share of the key blocks kept in every row; 1: no lists
};

// Normal q, k, v and d_o; in each row the same number of random blocks, other ones in every row.
class AttentionProblem {
 public:
  AttentionProblem(Context& context, DType dtype, const ProblemShape& shape);

  AttendParams Forward() const;
  AttendBackwardParams Backward() const;
  PoolParams PoolQ() const;
  PoolParams PoolK() const;
  SelectParams Select() const;  // top-k at the shape's density, into lists of its own

  double density() const { return density_; }  // kept token pairs / all token pairs
  double ForwardFlops() const;                 // 4 D kept pairs

  // Relative L2 error over sampled rows of o, and the largest over those of dq, dk and dv, which
  // takes the o and lse of the forward pass as right.
  double ForwardError() const;
  double BackwardError() const;

 private:
  struct Lists {
    DeviceArray ptr, ids;
    BlockLists view() const { return {ptr.view(), ids.view()}; }
  };
  struct Place {
    int64_t head, token;
  };
  class HostRows;

  void MakeKeep();
  Lists MakeLists(Context& context, bool columns) const;
  bool Keeps(int64_t head, int64_t query_block, int64_t key_block) const;
  Place Sampled(uint64_t n) const;

  Context& context_;
  DType dtype_;
  ProblemShape shape_;
  float scale_;
  int64_t t_q_, t_k_;
  double density_ = 1.0;
  std::vector<uint8_t> keep_;  // (B H, T_q, T_k); empty: all
  DeviceArray q_, k_, v_, d_o_, o_, lse_, dq_, dk_, dv_, q_pooled_, k_pooled_;
  Lists rows_, columns_, selected_;
};

}  // namespace suffice::bench
