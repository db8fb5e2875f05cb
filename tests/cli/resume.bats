#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Stopping, going on, budgets and deadlines.
load helper

# Long enough to be stopped on the way.
steps=${SUFFICE_SANITIZE:+300}
steps=${steps:-600}

train() { distill pretrain -c model.yaml --data clips.h5 -o "$1" --seed 3 "${@:2}"; }

# Starts a training of many steps in the background, and stops it by signal $1 once it has begun.
stop_training() {
  distill pretrain -c model.yaml --data clips.h5 -o part.h5 --seed 3 --steps $steps "${@:2}" \
    >/dev/null 2>talk &
  local job=$! i
  for i in $(seq 100); do
    ! grep -q "step" talk || break
    sleep 0.05
  done
  kill -"$1" "$job"
  ends "$job"
}

@test "SIGTERM and SIGUSR1 write a checkpoint and end with 75, --resume goes on bit for bit" {
  make_clips
  train whole.h5 --steps $steps -q >/dev/null
  stops=0
  for signal in TERM USR1 INT; do
    stop_training $signal --resume
    [ "$status" -ne 0 ] || break
    [ "$status" -eq 75 ]
    grep -q "stopped on request: part.h5.checkpoint written, run again with --resume" talk
    [ -e part.h5.checkpoint ]
    [ ! -e part.h5 ]
    stops=$((stops + 1))
  done
  [ "$stops" -ge 1 ]
  run -0 --separate-stderr train part.h5 --steps $steps --resume --threads 1
  [[ $stderr == *"going on after"* ]]
  [ ! -e part.h5.checkpoint ]
  [ "$(digest part.h5)" = "$(digest whole.h5)" ]
}

@test "a checkpoint is not ignored, and belongs to its run" {
  make_clips
  stop_training TERM
  [ "$status" -eq 75 ]
  fails 2 "part.h5.checkpoint: exists; --resume goes on from it, --force starts over" \
    train part.h5 --steps $steps
  fails 2 "part.h5.checkpoint: its config is" train part.h5 --steps $((steps + 1)) --resume
  fails 2 "its seed is 3, this run's 4; --force starts over without --resume" \
    distill pretrain -c model.yaml --data clips.h5 -o part.h5 --seed 4 --steps $steps --resume --force
  fails 2 "part.h5.checkpoint: its seed is 3, this run's 4" \
    distill pretrain -c model.yaml --data clips.h5 -o part.h5 --seed 4 --steps $steps --resume
  fails 2 "part.h5.checkpoint: its backend is" train part.h5 --steps $steps --resume --backend ref
  generate import right left --clip-frames 4 --width 16 --height 16 -o other.h5 -q >/dev/null
  fails 2 "part.h5.checkpoint: its data is" distill pretrain -c model.yaml --data other.h5 \
    -o part.h5 --seed 3 --steps $steps --resume
  # A damaged one is refused as any file is.
  head -c 3000 part.h5.checkpoint >cut
  mv cut part.h5.checkpoint
  fails 3 "part.h5.checkpoint" train part.h5 --steps $steps --resume
  # --force starts over.
  run -0 train part.h5 --steps 2 --force
  [ ! -e part.h5.checkpoint ]
}

@test "--resume without a checkpoint starts from the beginning and says so" {
  make_clips
  run -0 --separate-stderr train part.h5 --steps 2 --resume
  [[ $stderr == *"no checkpoint, starting from the beginning"* ]]
}

@test "an input that was left out is another run's" {
  make_clips
  train first.h5 --steps 2 -q >/dev/null
  stop_training TERM --init first.h5
  [ "$status" -eq 75 ]
  fails 2 "part.h5.checkpoint: its init is [0-9a-f]*, this run's missing" \
    train part.h5 --steps $steps --resume
  [ -e part.h5.checkpoint ]
}

@test "a verb without checkpoints leaves that of another alone" {
  make_clips
  stop_training TERM
  [ "$status" -eq 75 ]
  train dense.h5 --steps 2 -q >/dev/null
  printf 'settings:\n  - {name: a, rule: topk, k: 0.5}\n' >policy.yaml
  sparsify model dense.h5 -c policy.yaml -o part.h5 -q >/dev/null
  [ -e part.h5.checkpoint ]
}

@test "a plan beyond the budget or the deadline is refused with 7" {
  make_clips
  fails 7 "budget: 0.01 s are left, the plan wants" train x.h5 --steps 1000000 --budget 0.01
  fails 7 "deadline: in .* s, the plan wants" train x.h5 --steps 100000000 --deadline 30
  fails 7 "deadline: 0 s from the start, all of it gone" train x.h5 --deadline 0
  [ ! -e x.h5 ]
  [ ! -e x.h5.checkpoint ]
}

@test "a budget that is spent on the way ends with 75, and counts over resumes" {
  make_clips
  fails 7 "the plan wants .* s" train x.h5 --steps 300 --budget 0.001
  plan=${stderr##*the plan wants }
  budget=$(/usr/bin/python3 -c "print(2 * ${plan% s} + 1)")
  # More than the plan wants; but time passes for a process that is held up, too.
  distill pretrain -c model.yaml --data clips.h5 -o x.h5 --seed 3 --steps 300 --budget $budget \
    >/dev/null 2>talk &
  job=$!
  for _ in $(seq 1000); do
    ! grep -q step talk || break
    sleep 0.02
  done
  kill -STOP $job
  sleep $budget
  kill -CONT $job
  ends $job
  [ "$status" -eq 75 ]
  grep -q "stopped with the budget spent: x.h5.checkpoint written" talk
  fails 7 "budget: .* s, all of it spent" train x.h5 --steps 300 --budget $budget --resume
  run -0 train x.h5 --steps 300 --resume
}

# What a file says, measured times aside.
contents() {
  /usr/bin/python3 - "$1" <<'PYTHON'
import hashlib
import sys

import h5py

with h5py.File(sys.argv[1]) as file:
    def show(name, item):
        if isinstance(item, h5py.Dataset) and not name.startswith("run/") and "seconds" not in name:
            print(name, item.shape, hashlib.sha256(item[()].tobytes()).hexdigest())
    file.visititems(show)
PYTHON
}

# planned COMMAND...: GFLOP that it says are still to do.
planned() {
  "$@" --dry-run --progress jsonl 2>&1 >/dev/null |
    /usr/bin/python3 -c '
import json, sys
print(next(e["gflop"] for e in map(json.loads, sys.stdin) if e["event"] == "plan"))'
}

# plans_less WHOLE COMMAND...: the command says that some of WHOLE GFLOP is done, and some is left.
plans_less() {
  local left
  left=$(planned "${@:2}")
  awk "BEGIN {exit !(0 < $left && $left < 0.9999 * $1)}" || {
    echo "${*:2}: $left GFLOP of $1"
    return 1
  }
}

# goes_on OUT COMMAND...: the command, stopped by SIGTERM once its first result line is there,
# ends with 75, and with --resume makes what it makes without a stop.
goes_on() {
  local made=$1 whole
  shift
  whole=$(planned "$@" -o whole.h5)
  "$@" -o whole.h5 -q >/dev/null
  stopped_at TERM "(unit|step) [0-9]+/|[0-9] groups of heads" "$made" "$@"
  plans_less "$whole" "$@" -o "$made" --resume
  run -0 "$@" -o "$made" --resume
  [ -n "$(contents whole.h5)" ]
  [ "$(contents "$made")" = "$(contents whole.h5)" ]
  [ "$made" = runs.h5 ] || [ "$(digest "$made")" = "$(digest whole.h5)" ]
  [ ! -e "$made.checkpoint" ]
  rm -f whole.h5
}

@test "what computes for long stops and goes on bit for bit too" {
  make_clips
  make_dense
  make_sparse
  goes_on sample.h5 generate sample dense.h5 --count 40 --steps 40 --seed 5
  goes_on runs.h5 generate evaluate sparse.h5 --reference dense.h5 --data clips.h5 --units 150
  goes_on qkv.h5 generate capture dense.h5 --data clips.h5 --draws 100
  make_classifier_config
  goes_on classifier.h5 distill classify -c classifier.yaml --data clips.h5 --steps 500
  fixture batches batches.h5
  goes_on o.h5 sparsify attend batches.h5 --rule topk --k 0.3 --exact --isa portable --threads 1
}

# until_done COMMAND...: the command with --resume and a budget that grows until it is enough; some
# were not, and left a checkpoint.
until_done() {
  local stops=0 i
  for i in $(seq 400); do
    run "$@" --resume --budget "$(awk "BEGIN {print $i * $i * 0.00002}")"
    [ "$status" -ne 0 ] || break
    [ "$status" -eq 75 ] || [ "$status" -eq 7 ]
    [ "$status" -ne 75 ] || stops=$((stops + 1))
  done
  [ "$status" -eq 0 ] && [ "$stops" -gt 0 ]
}

@test "an import goes on source by source" {
  make_pictures
  import() {
    generate import left right --clip-frames 4 --width 16 --height 16 -o "$1" "${@:2}" -q
  }
  import whole.h5 >/dev/null
  until_done import part.h5
  [ "$(digest part.h5)" = "$(digest whole.h5)" ]
}

# A sweep may take less than its plan says, so that no budget stops it: a signal does, if it comes in
# time.
@test "a sweep goes on layer by layer" {
  make_clips
  make_dense
  generate capture dense.h5 --data clips.h5 --draws 16 -o qkv.h5 -q >/dev/null
  local sweep=(sparsify sweep qkv.h5 --set "tile=[2,4,4]" --threads 1 -o) whole i job
  whole=$(planned "${sweep[@]}" whole.tsv)
  "${sweep[@]}" whole.tsv -q >/dev/null
  for _ in $(seq 20); do
    rm -f part.tsv
    "${sweep[@]}" part.tsv --progress lines >/dev/null 2>talk &
    job=$!
    for i in $(seq 2000); do
      ! grep -q "at density" talk && kill -0 $job 2>/dev/null || break
      sleep 0.005
    done
    kill -TERM $job 2>/dev/null || true
    ends $job
    [ "$status" -eq 0 ] || break
  done
  [ "$status" -eq 75 ]
  plans_less "$whole" "${sweep[@]}" part.tsv --resume
  run -0 "${sweep[@]}" part.tsv --resume
  [ "$(cut -f 1-13 part.tsv)" = "$(cut -f 1-13 whole.tsv)" ] # without the seconds
  [ "$(wc -l <part.tsv)" -gt 10 ]
}

# stops_at LINE OUT COMMAND...: the command is stopped by SIGTERM once the line is there, and with
# --resume makes OUT; whole.* is made without a stop.
stops_at() {
  "${@:3}" -o "whole.${2##*.}" -q >/dev/null
  stopped_at TERM "$@"
  run -0 "${@:3}" -o "$2" --resume
}

@test "what is measured after and before a training stops too" {
  make_clips
  make_dense
  make_sparse
  local ema="--set train.optimizer.ema_decay=0.9"
  stops_at "evaluating: held-out" part.h5 distill pretrain -c model.yaml --data clips.h5 --seed 3 \
    --steps 5 --set train.held_out_draws=600 $ema
  [ "$(digest part.h5)" = "$(digest whole.h5)" ]
  for when in before after; do
    rm -f whole.h5 part.h5
    stops_at "$when training: held-out" part.h5 distill sparse sparse.h5 --teacher dense.h5 \
      --data clips.h5 --steps 5 --set train.held_out_draws=400 --set train.batch=2 $ema
    [ "$(digest part.h5)" = "$(digest whole.h5)" ]
  done
  make_classifier_config
  rm -f whole.h5 part.h5
  stops_at "evaluating: held-out" part.h5 distill classify -c classifier.yaml --data clips.h5 \
    --steps 5 --set train.held_out_draws=4000
  [ "$(digest part.h5)" = "$(digest whole.h5)" ]
}

@test "a comparison stops between resamples" {
  make_clips
  make_dense
  generate sample dense.h5 --count 8 --steps 2 -o samples.h5 -q >/dev/null
  stops_at "clips.h5: clip 16/16" part.json generate compare samples.h5 --reference clips.h5 \
    --set resamples=20000
  cmp part.json whole.json
}
