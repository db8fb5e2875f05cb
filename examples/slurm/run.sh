#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Samples and evaluates in a Slurm job array, merges what its tasks have made in a job that waits for
# them, and shows that it is what one run makes.
#
#   examples/slurm/run.sh [--requeue] [OUT]     OUT: a folder that does not exist yet (out)
#
# --requeue also stops a running task by SIGUSR1: it writes a checkpoint, is requeued and goes on
# (Slurm waits two minutes before it starts a requeued job). Where a Slurm is at hand (sinfo answers)
# it is used; else one of this machine alone is started, as root, and ended by process id, also when
# something fails. SUFFICE_BIN names a folder with the five tools, to skip installing and building.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
requeue=
if [ "${1:-}" = --requeue ]; then
  requeue=yes
  shift
fi
out=${1:-out}
if [ $# -gt 1 ] || [[ $out == -* ]]; then
  echo "usage: examples/slurm/run.sh [--requeue] [OUT]" >&2
  exit 2
fi
if [ -e "$out" ]; then
  echo "slurm: $out exists; name another folder or move it away" >&2
  exit 2
fi
if [ "$(id -u)" != 0 ] && ! sinfo -h >/dev/null 2>&1; then
  echo "slurm: skipped: no Slurm answers, and only root can start one"
  exit 77
fi

start=$SECONDS
if [ -z "${SUFFICE_BIN:-}" ]; then
  "$root/cmake/install-packages.sh" build run slurm
  cmake -S "$root" -B "$root/build/release" -G Ninja -DCMAKE_BUILD_TYPE=Release \
    -DSUFFICE_TESTS=OFF -DSUFFICE_CUDA=OFF >/dev/null
  cmake --build "$root/build/release" -- --quiet
  SUFFICE_BIN=$root/build/release/bin
fi
PATH=$(cd "$SUFFICE_BIN" && pwd):$PATH
mkdir -p "$out"
cd "$out"

# shellcheck source=local.sh
. "$here/local.sh"
trap stop_slurm EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
if ! sinfo -h >/dev/null 2>&1; then
  if ! start_slurm "$PWD/slurm"; then
    echo "slurm: no Slurm of one node could be started:" >&2
    tail -n 5 slurm/*.log slurm/*.out >&2
    exit 1
  fi
  echo "slurm: one node started after $((SECONDS - start)) s"
fi

model=$root/examples/three-clips/model/shipped.h5
cp "$root"/examples/quickstart/clips/*.mp4 .
generate import box.mp4 cup.mp4 tree.mp4 -c "$root/examples/three-clips/clips.yaml" -o clips.h5 -q
sparsify model "$model" -c "$root/examples/three-clips/policy.yaml" -o sparse.h5 -q
sample=(generate sample "$model" --classes-from "$here/classes.txt" --seed 7 --threads 1
  --steps "$([ -n "$requeue" ] && echo 12 || echo 2)")
evaluate=(generate evaluate sparse.h5 --reference "$model" --data clips.h5 --units 4 --seed 7 --threads 1)

# array OUTPUT COMMAND...: two tasks, then a merge that depends on them; their job ids in files.
array() {
  local job
  job=$(sbatch --parsable --array=0-1 --output="${1%.*}-%a.log" "$here/array.sh" "$@")
  echo "$job" >"$1.array"
  sbatch --parsable --dependency="afterok:$job" --output="${1%.*}-merge.log" "$here/merge.sh" "$1" 2 \
    >"$1.merge"
}

# stop_task JOB LOG: SIGUSR1 to the first task of an array once it has done a step, and its requeueing.
stop_task() {
  wait_for 120 grep -q ", step " "$2"
  scancel --signal=USR1 --batch "${1}_0"
  wait_for 60 grep -q "back into the queue" "$2"
  echo "slurm: task 0 stopped and requeued: $(grep -o 'stopped on request.*' "$2")"
}

# ended SECONDS OUTPUT: its merge has run. A merge whose tasks failed never does: it is not waited for.
ended() {
  local until=$((SECONDS + $1)) output=$2 waits
  until [ -e "$output" ]; do
    waits=$(squeue -h -j "$(cat "$output.merge")" -o %r 2>/dev/null || true)
    if [[ -z $waits || $waits == *DependencyNeverSatisfied* || $SECONDS -ge $until ]]; then
      [ ! -e "$output" ] || break
      echo "slurm: $output was not made:" >&2
      tail -n 20 ./*.log >&2
      exit 1
    fi
    sleep 0.5
  done
}

content() { generate inspect "$1" --json -q | sed -n 's/^ *"content_digest": "\(.*\)",*$/\1/p'; }

array sample.h5 "${sample[@]}"
[ -z "$requeue" ] || stop_task "$(cat sample.h5.array)" sample-0.log
array runs.h5 "${evaluate[@]}"
# Meanwhile the same in one run each.
"${sample[@]}" -o whole.h5 -q >/dev/null
"${evaluate[@]}" -o whole-runs.h5 -q >/dev/null
ended 400 sample.h5
ended 120 runs.h5
grep -h "from the Slurm array" ./*.log

if [ -z "$(content whole.h5)" ] || [ "$(content sample.h5)" != "$(content whole.h5)" ]; then
  echo "slurm: sample.h5 is not what one run makes" >&2
  exit 1
fi
# Of runs the seconds differ, and nothing else.
tensors() { generate inspect "$1" -q | grep '^ *[/a-z]*/.*[0-9a-f]' | grep -v '/seconds'; }
if [ "$(tensors runs.h5)" != "$(tensors whole-runs.h5)" ]; then
  echo "slurm: runs.h5 is not what one run makes" >&2
  diff <(tensors runs.h5) <(tensors whole-runs.h5) >&2 || true
  exit 1
fi
[ -z "$requeue" ] || grep -h "going on after" sample-0.log
echo "slurm: done after $((SECONDS - start)) s: $out/sample.h5 is $(content sample.h5), as of one run"
