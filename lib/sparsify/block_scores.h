// SPDX-License-Identifier: Apache-2.0
// What key blocks are ranked by, on the host and in double: for `sparsify sweep`, which compares
// rankings offline. What runs in a model ranks by the mean, inside of the select operation.
//
// s the scale, q_i the mean of a query block, k_j and var_j mean and variance by channel of the n_j
// keys of a block:
//   mean      s q_i.k_j
//   cumulant  s q_i.k_j + log n_j + s^2/2 sum_d q_id^2 var_jd, the logarithm of sum_t exp(s
//   q_i.k_t)
//             to second order, channels taken for independent
//   oracle    log of the mean over the queries t of block i of the softmax mass that t gives to
//   block
//             j: no ranking keeps more mass with as many blocks of a row
#pragma once

#include <vector>

#include "lib/sparsify/attention_run.h"

namespace suffice::sparsify {

// (B, H, T_q, T_k) fp32 each. Nothing is causal here.
HostArray MeanScores(Context& context, const AttentionInputs& inputs);
// `k` is inputs.k on the host, (B, H_kv, N_k, D).
HostArray CumulantScores(Context& context, const AttentionInputs& inputs, const HostArray& k);
// `lse` (B, H, N_q) is that of dense attention. As much work as half of it.
HostArray OracleScores(Context& context, const AttentionInputs& inputs, const Tensor& lse);

// Entropy of softmax over each row of `scores`, over log T_k: 1 is uniform. (B * H * T_q) values.
std::vector<double> RowEntropies(const HostArray& scores);

}  // namespace suffice::sparsify
