# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# What the tables' scripts share; sourced: . common.sh TABLE DATA OUT
# README.md says what the environment variables are. Everything is written under OUT: OUT/work has
# models, captures and samples, OUT/results the tables. What is there whole is not made again.
set -euo pipefail

table=$1
[ $# -eq 3 ] || { echo "usage: table$table.sh DATA OUT" >&2; exit 2; }
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
objects=$here/../../objects
data=$(realpath "$2")
mkdir -p "$3/work" "$3/results"
out=$(cd "$3" && pwd)
work=$out/work
[ -z "${SUFFICE_BIN:-}" ] || PATH=$(cd "$SUFFICE_BIN" && pwd):$PATH
[ -r "$data" ] || { echo "table$table: $data: no such file" >&2; exit 3; }

p_grid=0.02,0.04,0.06,0.08,0.1,0.125,0.15,0.2,0.25,0.3,0.35,0.4,0.45,0.5,0.6,0.7,0.8,0.9,0.95,0.98,0.99,0.999,0.9999
k_grid=0.02,0.03,0.05,0.07,0.1,0.15,0.2,0.3,0.4,0.5,0.7
resolution=()
sizes=()
classifier=(--batch 16)
training=()
if [ -n "${TINY:-}" ]; then # a smoke test: 512 tokens a clip, seconds a table on a CPU
  : "${SEEDS=1 2}" "${STEPS=4}" "${DENSE_STEPS=10}" "${DENSITY=0.5}" "${COUNT=6}" "${UNITS=4}"
  : "${SAMPLE_STEPS=2}" "${DRAWS=1}"
  p_grid=0.05,0.15,0.3,0.45,0.6,0.8,0.95,0.999
  k_grid=0.1,0.25,0.4,0.6,0.8
  resolution=(--set frames=8 --set height=32 --set width=32)
  sizes=(--set model.width=32 --set model.depth=2 --set model.heads=1)
  training=(--set train.batch=2 --set train.micro_batch=2 --set train.held_out_draws=4)
  classifier=(--steps 10 --batch 4 --set train.micro_batch=4 --set train.held_out_draws=20
    --set 'model.patch=[4,8,8]' --set model.width=16 --set model.depth=1)
fi
: "${SEEDS=1 2 3}" "${STEPS=150}" "${DENSE_STEPS=1500}" "${DENSITY=0.1}" "${COUNT=60}" "${UNITS=64}"
: "${SAMPLE_STEPS=20}" "${DRAWS=1}" "${ORDER=raster}" "${BACKEND=auto}" "${DENSE=}" "${OTHER=}"
dense=$(realpath -m "${DENSE:-$work/dense.h5}")
# The share of k in the hybrid rule, as in the paper: 3 % of 5 %. p fills up the rest.
hybrid_k=$(awk "BEGIN {printf \"%.4f\", $DENSITY * 0.6}")

# One folder is of one set of settings, or the tables would mix several.
stamp="SEEDS=$SEEDS STEPS=$STEPS DENSE_STEPS=$DENSE_STEPS DENSITY=$DENSITY COUNT=$COUNT UNITS=$UNITS \
SAMPLE_STEPS=$SAMPLE_STEPS DRAWS=$DRAWS ORDER=$ORDER TINY=${TINY:-} DENSE=${DENSE:+$dense} DATA=$data \
OTHER=${OTHER:+$(realpath -m "$OTHER")} BACKEND=$BACKEND"
[ -e "$out/settings" ] || echo "$stamp" >"$out/settings"
if [ "$(cat "$out/settings")" != "$stamp" ]; then
  printf 'table%s: %s is of other settings:\n  %s\nthese are\n  %s\n' \
    "$table" "$out" "$(cat "$out/settings")" "$stamp" >&2
  exit 2
fi

# once FILE COMMAND ...: FILE becomes the standard output of COMMAND, whole or not at all. `-o F` of
# COMMAND comes first, so one without its FILE is of a run that was cut off.
once() {
  local file=$1 start=$SECONDS made=
  shift
  [ ! -e "$file" ] || return 0
  local i
  for ((i = 1; i < $#; ++i)); do [ "${!i}" != -o ] || { ((++i)); made=${!i}; }; done
  [ -z "$made" ] || rm -f "$made"
  echo "table$table: $(basename "$file")" >&2
  if ! "$@" --backend "$BACKEND" >"$file.part" 2>"$file.log"; then
    tail -n 5 "$file.log" >&2
    echo "table$table: $1 $2 failed; see $file.log" >&2
    return 1
  fi
  mv "$file.part" "$file"
  printf '%s\t%s\n' "$(basename "$file")" $((SECONDS - start)) >>"$out/results/seconds.tsv"
}

# Comparisons read finished samples: they wait for the table's end, and run beside each other but beside
# nothing that is timed.
comparisons=()
compare() { # FILE OPTION ...: generate compare
  comparisons+=("$(printf '%q ' "$@")")
}
run_comparisons() {
  local words processes=() process
  for words in "${comparisons[@]}"; do
    eval "set -- $words"
    once "$1" generate compare "${@:2}" --threads 4 &
    processes+=($!)
    if [ ${#processes[@]} -eq 4 ]; then
      wait "${processes[0]}"
      processes=("${processes[@]:1}")
    fi
  done
  for process in "${processes[@]}"; do wait "$process"; done
  comparisons=()
}

# The recipes of examples/objects are for thousands of steps: a shorter run has a tenth of its steps
# to warm up, ends at a twentieth of its rate, and averages the weights over its last tenth.
optimizer() { # STEPS RATE
  local average
  average=$(awk "BEGIN {d = 1 - 10 / $1; printf \"%.4f\", (d > 0.5 ? (d < 0.999 ? d : 0.999) : 0.5)}")
  echo "--set train.optimizer.lr=$2 --set train.optimizer.warmup_steps=$(($1 / 10 + 1))" \
    "--set train.optimizer.decay_steps=$1 --set train.optimizer.final_lr=0.05" \
    "--set train.optimizer.ema_decay=$average"
}

# --- models ---------------------------------------------------------------------------------------

# shellcheck disable=SC2046  # optimizer's words
make_dense() {
  [ -z "${DENSE:-}" ] && [ ! -e "$work/dense.json" ] || return 0
  local classes
  classes=$(generate inspect "$data" --json 2>/dev/null | python3 "$here/collect.py" classes)
  once "$work/dense.json" distill pretrain -c "$objects/small/model.yaml" "${resolution[@]}" \
    --set model.classes="$classes" "${sizes[@]}" "${training[@]}" --steps "$DENSE_STEPS" \
    $(optimizer "$DENSE_STEPS" 0.001) --data "$data" --seed 1 --json --resume --progress jsonl \
    -o "$dense"
}

# frames, height and width come from the model that the samples are of.
make_classifier() {
  [ ! -e "$work/classifier.json" ] || return 0
  local clip
  clip=$(generate inspect "$dense" --json 2>/dev/null | python3 "$here/collect.py" resolution)
  # shellcheck disable=SC2086  # three words
  set -- $clip
  once "$work/classifier.json" distill classify --set frames="$1" --set height="$2" --set width="$3" \
    "${classifier[@]}" --data "$data" --seed 1 --json --resume -o "$work/classifier.h5"
}

capture() { # NAME MODEL SEED
  once "$work/capture-$1-$3.json" generate capture "$2" --data "$data" --draws "$DRAWS" \
    --set 'times=[0.25,0.5,0.75]' --seed "$3" --json --resume -o "$work/capture-$1-$3.h5"
}

# Of the dense model, at one seed: every rule over the settings that density is interpolated between.
coarse_sweeps() { # SEED
  capture dense "$dense" "$1"
  python3 "$here/collect.py" check "$work/capture-dense-$1.json" "$DENSITY" "$hybrid_k"
  sweep coarse dense "$1" --set "rules=[topk,topp]" --set "k=[$DENSITY]" --set "p=[$p_grid]" \
    --set "orders=[$ORDER]" --set row_groups=4
  sweep coarse-hybrid dense "$1" --set "rules=[hybrid]" --set "k=[$hybrid_k]" \
    --set "hybrid_p=[$p_grid]" --set "orders=[$ORDER]" --set row_groups=4
}

sweep() { # FILE NAME SEED OPTION ...: of a capture
  local file=$work/$1-$2-$3.tsv from=$work/capture-$2-$3.h5
  shift 3
  once "$file.json" sparsify sweep "$from" "$@" --json --resume -o "$file"
}

# Top-k keeps DENSITY; the p of the other two is that which keeps as much of the dense model's
# capture: bisection by two sweeps, coarse then fine, and a straight line between the last two.
calibrate() {
  make_dense
  coarse_sweeps 1
  local fine
  fine=$(python3 "$here/collect.py" bracket topp "$work"/coarse-dense-1.tsv "$work"/coarse-dense-1.tsv)
  sweep fine dense 1 --set "rules=[topp]" --set "p=[$fine]" --set "orders=[$ORDER]"
  fine=$(python3 "$here/collect.py" bracket hybrid "$work"/coarse-dense-1.tsv \
    "$work"/coarse-hybrid-dense-1.tsv)
  sweep fine-hybrid dense 1 --set "rules=[hybrid]" --set "k=[$hybrid_k]" --set "hybrid_p=[$fine]" \
    --set "orders=[$ORDER]"
  topp_p=$(python3 "$here/collect.py" p topp "$work"/coarse-dense-1.tsv "$work"/fine-dense-1.tsv)
  hybrid_p=$(python3 "$here/collect.py" p hybrid "$work"/coarse-dense-1.tsv \
    "$work"/fine-hybrid-dense-1.tsv)
  start full "rule: dense"
  start topk "rule: topk, k: $DENSITY"
  start topp "rule: topp, p: $topp_p"
  start hybrid "rule: hybrid, k: $hybrid_k, p: $hybrid_p"
}

start() { # RULE SETTING: the dense weights with a contract, training-free
  [ ! -e "$work/start-$1.h5" ] || return 0
  printf 'schema: 1\ntoken_order: %s\nsettings:\n  - {name: %s, %s}\n' "$ORDER" "$1" "$2" \
    >"$work/policy-$1.yaml"
  sparsify model "$dense" -c "$work/policy-$1.yaml" -q -o "$work/start-$1.h5" >/dev/null
}

# shellcheck disable=SC2046  # optimizer's words
student() { # NAME RULE LOSS SEED DATASET
  once "$work/$1-$4.json" distill sparse "$work/start-$2.h5" --teacher "$dense" --data "$5" \
    -c "$objects/small/sparse.yaml" "${training[@]}" --loss "$3" --steps "$STEPS" \
    $(optimizer "$STEPS" 0.0003) --seed "$4" --json --resume --progress jsonl -o "$work/$1-$4.h5"
}

# --- what is measured of a model ------------------------------------------------------------------

sample() { # NAME MODEL SEED
  once "$work/sample-$1-$3.json" generate sample "$2" --count "$COUNT" --steps "$SAMPLE_STEPS" \
    --batch 4 --seed "$3" --json --resume -o "$work/sample-$1-$3.h5"
}

measure() { # NAME MODEL SEED
  make_classifier
  sample dense "$dense" "$3"
  if [ "$1" != dense ]; then
    once "$work/evaluate-$1-$3.json" generate evaluate "$2" --reference "$dense" --data "$data" \
      --units "$UNITS" --seed "$3" --json --resume -o "$work/evaluate-$1-$3.h5"
    sample "$1" "$2" "$3"
    compare "$work/pair-$1-$3.report" "$work/sample-$1-$3.h5" \
      --reference "$work/sample-dense-$3.h5" --seed "$3" --json -o "$work/pair-$1-$3.json"
  fi
  compare "$work/compare-$1-$3.report" "$work/sample-$1-$3.h5" --reference "$data" \
    --features "$work/classifier.h5" --seed "$3" --json -o "$work/compare-$1-$3.json"
}

# Attention of a capture under its model's setting, mask included. The first k and p are there to be
# out of the way: they pay for what a first run loads.
attention_time() { # NAME RULE SEED
  local sets=()
  case $2 in
    topk) sets=(--set "rules=[topk]" --set "k=[0.77,$DENSITY]") ;;
    topp) sets=(--set "rules=[topp]" --set "p=[0.77,$topp_p]") ;;
    hybrid) sets=(--set "rules=[hybrid]" --set "k=[0.77,$hybrid_k]" --set "hybrid_p=[$hybrid_p]") ;;
  esac
  sweep attention "$1" "$3" "${sets[@]}" --set "orders=[$ORDER]"
}

finish() { # TABLE: its JSON and TSV, and all tables as Markdown
  run_comparisons
  python3 "$here/collect.py" table "$1" "$out"
  python3 "$here/markdown.py" "$out/results" >"$out/results/tables.md.part"
  mv "$out/results/tables.md.part" "$out/results/tables.md"
}
