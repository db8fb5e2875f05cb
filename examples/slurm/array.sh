#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# One task of a job array: a shard of a run, into a file of its own.
#
#   sbatch --array=0-7 array.sh OUTPUT COMMAND...
#   sbatch --array=0-7 array.sh sample.h5 generate sample dense.h5 --seed 7 --count 800
#
# COMMAND is generate sample, evaluate, capture or sparsify sweep without -o. It finds out from the
# array which shard it is. Task I writes OUTPUT with -I before the ending: sample-3.h5. merge.sh makes
# one file of them.
#
# Beside it sample-3.h5.plan says what makes it: version, shard, command, digests of the files. A shard
# or a checkpoint that is there already is taken for this run's where its plan is the same; of another
# run it is left as it is, and the task ends with exit status 2 and what differs.
#
# Two minutes before the end of its time (and on scancel --signal=USR1 --batch) the task writes a
# checkpoint, puts itself back into the queue, and goes on from there when it is started again: bit
# for bit as if it had not been stopped. So a short --time does for long work, and it fits where a
# queue lets short jobs in first.
#SBATCH --job-name=shard
#SBATCH --cpus-per-task=1
#SBATCH --signal=B:USR1@120
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=task-%a.log
set -euo pipefail

output=$1
shift
part=${output%.*}-$SLURM_ARRAY_TASK_ID.${output##*.}
plan=$part.plan

describe() { # COMMAND...
  local word
  "$1" --version
  echo "task $SLURM_ARRAY_TASK_ID of ${SLURM_ARRAY_TASK_COUNT:-?} from ${SLURM_ARRAY_TASK_MIN:-?} on," \
    "in steps of ${SLURM_ARRAY_TASK_STEP:-1}"
  for word in "$@"; do
    echo "$word"
    [ ! -f "${word#--*=}" ] || sha256sum -- "${word#--*=}"
  done
}
wanted=$(describe "$@")
if [ -e "$part" ] || [ -e "$part.checkpoint" ]; then
  if ! difference=$(diff "$plan" - <<<"$wanted" 2>&1); then
    printf '%s: is of another run (<) than this (>); move it, its .plan and .checkpoint away, or name another OUTPUT\n%s\n' \
      "$part" "$difference" >&2
    exit 2
  fi
else
  printf '%s\n' "$wanted" >"$plan.$$"
  mv "$plan.$$" "$plan"
fi
if [ -e "$part" ]; then # finished before, and started again after its node went down
  echo "$part: is there"
  exit 0
fi

# B: sends the signal to this script alone, which passes it on. A trap ends `wait` early: wait again.
signal=
told=
on_signal() {
  signal=$1 told=yes
  kill -s "$1" "$child" 2>/dev/null || true
}
"$@" -o "$part" --resume --progress lines &
child=$!
trap 'on_signal USR1' USR1
trap 'on_signal TERM' TERM
status=0
wait "$child" || status=$?
while [ -n "$told" ]; do
  told=
  status=0
  wait "$child" || status=$?
done

# 75: stopped on request, a checkpoint is written. SIGTERM is somebody's who wants the job to end.
if [ "$status" -eq 75 ] && [ "$signal" = USR1 ]; then
  echo "$part: back into the queue"
  scontrol requeue "${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID"
  sleep 60 # Slurm ends this script
fi
exit "$status"
