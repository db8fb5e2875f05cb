#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Tables 4 and 5: dense, training-free sparse, and each rule trained, at equal density.
#   table4.sh DATA OUT
. "$(dirname "$0")/common.sh" 4 "$@"
calibrate
for seed in $SEEDS; do
  measure dense "$dense" "$seed"
  capture free-hybrid "$work/start-hybrid.h5" "$seed"
  attention_time free-hybrid hybrid "$seed"
  measure free-hybrid "$work/start-hybrid.h5" "$seed"
  for rule in hybrid topk topp; do
    student $rule-velocity $rule velocity "$seed" "$data"
    capture $rule-velocity "$work/$rule-velocity-$seed.h5" "$seed"
    attention_time $rule-velocity $rule "$seed"
    measure $rule-velocity "$work/$rule-velocity-$seed.h5" "$seed"
  done
done
finish 4
