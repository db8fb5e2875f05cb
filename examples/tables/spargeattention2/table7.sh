#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Beyond the paper, on captures alone: the density that raster, 3-D tiles and the Hilbert curve need
# for one error; and the mass that blocks ranked by mean, second cumulant and true mass keep at one density.
#   table7.sh DATA OUT
. "$(dirname "$0")/common.sh" 7 "$@"
make_dense
for seed in $SEEDS; do
  capture dense "$dense" "$seed"
  sweep orders dense "$seed" --set "rules=[topk]" --set "k=[$k_grid]" \
    --set "orders=[raster,tiles,hilbert]"
  sweep scores dense "$seed" --set "rules=[topk]" --set "k=[$k_grid]" --set "orders=[$ORDER]" \
    --set "scores=[mean,cumulant,oracle]"
done
finish 7
