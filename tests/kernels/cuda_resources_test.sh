#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The Hopper kernels keep to the registers that their warps share out: ptxas may not spill more than
# a few values outside the main loops, and must not serialise wgmma (its messages C7510 to C7519).
#
#   cuda_resources_test.sh NVCC REPOSITORY [FMT_INCLUDE]
set -euo pipefail
nvcc=$1
root=$2
most_spilled=64  # bytes of stores, in all of one kernel
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0
for source in "$root"/kernels/cuda/hopper/*.cu; do
  report=$work/$(basename "$source").txt
  "$nvcc" -std=c++20 -O3 --expt-relaxed-constexpr -DFMT_USE_CONSTEXPR=1 -DFMT_CONSTEVAL= \
    -gencode arch=compute_90a,code=sm_90a -Xptxas=-v -I"$root" ${3:+-I"$3"} \
    -cubin -o "$work/kernel.cubin" "$source" >"$report" 2>&1 || {
    cat "$report"
    exit 1
  }
  if grep -E 'C75[0-9]{2}' "$report"; then
    echo "$source: ptxas serialised wgmma" >&2
    failed=1
  fi
  while read -r spilled; do
    if [ "$spilled" -gt "$most_spilled" ]; then
      echo "$source: $spilled bytes spilled, at most $most_spilled are wanted" >&2
      failed=1
    fi
  done < <(sed -n 's/.* \([0-9]*\) bytes spill stores.*/\1/p' "$report")
  grep -c 'spill stores' "$report" | sed "s|^|$(basename "$source"): |; s|\$| kernels|"
done
exit $failed
