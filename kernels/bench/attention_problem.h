// SPDX-License-Identifier: Apache-2.0
// The inputs of one attention benchmark in a device's memory, and a check of what came out: rows
// drawn at random are computed again on the host, in double, from the definition.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/bench/block_lists.h"
#include "kernels/bench/device_array.h"

namespace suffice::bench {

struct ProblemShape {
  int64_t batch = 1;
  int64_t heads = 1;
  int64_t n = 0;  // N_q = N_k, H_kv = H
  int64_t dim = 0;
  BlockSize block;
  double density = 1.0;  // share of the key blocks kept in every row, or its mean; 1: no lists
  ListSpread spread = ListSpread::kEqual;
  std::shared_ptr<const HostLists> given = nullptr;  // with kGiven: (B H T_q) rows
};

// Top-k at `density`. Hybrid has a top-p beside it that keeps a little less on normal data, whose
// pooled scores are nearly equal: both prefixes are looked for, and density is what is kept.
SelectSetting SettingOf(SelectRule rule, double density);

// Normal q, k, v and d_o; in each row random blocks, other ones in every row.
class AttentionProblem {
 public:
  AttentionProblem(Context& context, DType dtype, const ProblemShape& shape, SelectRule rule);

  AttendParams Forward() const;
  AttendBackwardParams Backward() const;
  PoolParams PoolQ() const;
  PoolParams PoolK() const;
  SelectParams Select(bool columns) const;  // by the rule, into lists of its own
  AttendParams ForwardOfSelected() const;   // what Select kept
  // Takes v and d_o for the fused projection of q and k, as (B, N, H, D), and writes dq and dk;
  // with `pooled`, pooled q and k too.
  QkNormRopePoolParams FusedPool(bool pooled) const;

  double density() const { return density_; }  // kept token pairs / all token pairs
  double FlopsAt(double density) const;        // of a forward pass: 4 D kept pairs
  double DensityOf(const HostLists& rows) const;
  double BytesOfQAndK() const;
  HostLists Selected() const { return ToHost(selected_); }  // the lists that Select made

  // Relative L2 error over sampled rows of o, and the largest over those of dq, dk and dv, which
  // takes the o and lse of the forward pass as right.
  double ForwardError() const { return ErrorOfForward(keeps_all_ ? nullptr : &host_rows_); }
  double ErrorOfForward(const HostLists* rows) const;  // null: every block
  double BackwardError() const;
  // Share of sampled rows whose selected blocks are not the best by scores computed in double, or
  // are not as many as the rule keeps. Scores that differ by rounding may change places.
  double SelectError(const HostLists& rows) const;
  // Relative L2 of sampled block means of q and k, and of what FusedPool made of q and k.
  double PoolError() const { return ErrorOfPooled(q_, k_); }
  double FusedPoolError() const { return ErrorOfPooled(dq_, dk_); }
  double TransposeError() const;  // share of columns that are not the rows' transpose

 private:
  struct Lists {
    DeviceArray ptr, ids;
    BlockLists view() const { return {ptr.view(), ids.view()}; }
  };
  struct Place {
    int64_t head, token;
  };
  struct Rotation {
    DeviceArray weight, cos, sin, rrms_q, rrms_k;
  };
  class HostRows;

  Lists ToDevice(const HostLists& lists) const;
  static HostLists ToHost(const Lists& lists);
  Lists Capacity(int64_t rows, int64_t ids) const;
  void MakeRotation() const;
  Place Sampled(uint64_t n) const;
  double ErrorOfPooled(const DeviceArray& q, const DeviceArray& k) const;
  std::vector<double> PooledScores(const HostRows& q, const HostRows& k, int64_t head,
                                   int64_t block) const;

  Context& context_;
  DType dtype_;
  ProblemShape shape_;
  SelectRule rule_;
  float scale_;
  int64_t t_q_, t_k_;
  bool keeps_all_ = true;
  double density_ = 1.0;
  HostLists host_rows_, host_columns_;  // without rows: all blocks
  DeviceArray q_, k_, v_, d_o_, o_, lse_, dq_, dk_, dv_, q_pooled_, k_pooled_;
  Lists rows_, columns_, selected_, selected_columns_;
  mutable Rotation rotation_;  // made by the first FusedPool
};

}  // namespace suffice::bench
