#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Table 6: rule x loss at equal density.
#   table6.sh DATA OUT
. "$(dirname "$0")/common.sh" 6 "$@"
calibrate
for seed in $SEEDS; do
  for rule in hybrid topk topp; do
    measure free-$rule "$work/start-$rule.h5" "$seed"
    for loss in velocity diffusion; do
      student $rule-$loss $rule $loss "$seed" "$data"
      measure $rule-$loss "$work/$rule-$loss-$seed.h5" "$seed"
    done
  done
done
finish 6
