#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Table 2 and Fig. 3: does attention concentrate under sparse training? The same settings on captures of
# the sparse model before and after velocity distillation.
#   table2.sh DATA OUT
. "$(dirname "$0")/common.sh" 2 "$@"
calibrate
for seed in $SEEDS; do
  student hybrid-velocity hybrid velocity "$seed" "$data"
  capture free-hybrid "$work/start-hybrid.h5" "$seed"
  capture hybrid-velocity "$work/hybrid-velocity-$seed.h5" "$seed"
  for name in free-hybrid hybrid-velocity; do
    sweep concentration $name "$seed" --set "rules=[topp]" --set "p=[$p_grid]" --set "orders=[$ORDER]"
    attention_time $name hybrid "$seed"
  done
done
finish 2
