#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Table 1 on rows of a trained model: the rules at equal density by entropy of the block rows.
#   table1_model.sh DATA OUT
. "$(dirname "$0")/common.sh" 1_model "$@"
make_dense
for seed in $SEEDS; do
  coarse_sweeps "$seed"
done
finish 1_model
