#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Table 3: tuning on data that is not the pre-training data. A full-attention and a sparse model by
# the diffusion loss, a sparse one by velocity distillation, all with the same steps.
#   OTHER=other.h5 table3.sh DATA OUT      OTHER: a dataset with the classes of DATA (other.yaml)
. "$(dirname "$0")/common.sh" 3 "$@"
[ -r "$OTHER" ] || { echo "table3: OTHER='$OTHER': no such dataset" >&2; exit 2; }
calibrate
measured() { # NAME MODEL SEED
  measure "$@"
  compare "$work/other-$1-$3.report" "$work/sample-$1-$3.h5" --reference "$OTHER" \
    --features "$work/classifier.h5" --seed "$3" --json -o "$work/other-$1-$3.json"
}
for seed in $SEEDS; do
  measured dense "$dense" "$seed"
  for name in full-diffusion hybrid-diffusion hybrid-velocity; do
    student $name-other "${name%-*}" "${name#*-}" "$seed" "$OTHER"
    measured $name-other "$work/$name-other-$seed.h5" "$seed"
  done
done
finish 3
