#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What the machine does to a run: full disks, closed outputs, missing rights, too little memory,
# signals. The exit status says which, and an output is whole or not there.
load helper

teardown() {
  if mountpoint -q "$BATS_TEST_TMPDIR/work/disk"; then umount "$BATS_TEST_TMPDIR/work/disk"; fi
}

# Puts a program in ffmpeg's place that neither reads nor writes a frame; end_fake ends it.
fake_ffmpeg() {
  mkdir fake
  printf '#!/bin/sh\necho $$ >>"%s/pids"\nexec sleep 60 3>&-\n' "$PWD/fake" >fake/ffmpeg
  chmod +x fake/ffmpeg
}
end_fake() { xargs kill <fake/pids; }

# Nothing unfinished is left in a folder.
no_temporaries() { [ -z "$(find "$1" -name '.*.tmp.*')" ]; }

@test "a full disk ends with 1 and keeps the old output" {
  [ "$(id -u)" = 0 ] || skip "root alone can mount a small disk"
  mkdir disk
  mount -t tmpfs -o size=256k tmpfs disk 2>/dev/null || skip "no right to mount a tmpfs"
  fixture large q.h5
  echo precious >disk/x.h5
  fails 1 "disk/x.h5: .*No space left on device" \
    sparsify attend q.h5 --at /layers/0 -o disk/x.h5 --force
  [ "$(cat disk/x.h5)" = precious ]
  no_temporaries disk
  # A text output, and a ledger that cannot grow.
  dd if=/dev/zero of=disk/fill bs=4k 2>/dev/null || true
  fixture runs runs.h5
  fails 1 "disk/s.yaml: .*No space left on device" \
    calibrate select --runs runs.h5 -o disk/s.yaml
  no_temporaries disk
}

@test "a limit on file sizes is a failed write" {
  fixture capture q.h5
  fails 1 "x.h5: .*File too large" \
    bash -c 'ulimit -f 20; sparsify attend q.h5 --at /layers/0 --rule dense -o x.h5'
  [ ! -e x.h5 ]
  no_temporaries .
}

@test "standard output that cannot be written ends with 1" {
  fixture capture q.h5
  fails 1 "stdout: cannot be written" bash -c 'sparsify --help >/dev/full'
  fails 1 "stdout: cannot be written" bash -c 'sparsify --version >/dev/full'
  fails 1 "stdout: cannot be written" bash -c 'sparsify sweep q.h5 >/dev/full'
  fails 1 "stdout: cannot be written" \
    bash -c 'sparsify mask q.h5 --at /layers/0 -o x.h5 --json >/dev/full'
  fails 1 "stdout: cannot be written" bash -c 'sparsify sweep q.h5 -o - >/dev/full'
  fails 1 "stdout: cannot be written" bash -c 'sparsify attend --print-config >/dev/full'
}

@test "a folder that may not be written ends with 1" {
  fixture capture q.h5
  mkdir closed
  chmod 555 closed
  local as=()
  if [ "$(id -u)" = 0 ]; then
    command -v setpriv >/dev/null || skip "setpriv(1) not found"
    as=(setpriv --reuid 65534 --regid 65534 --clear-groups)
    local folder=$PWD
    while [ "$folder" != / ]; do # somebody else must get here
      chmod o+rx "$folder"
      folder=$(dirname "$folder")
    done
    chmod 644 q.h5
    "${as[@]}" test -x "$SUFFICE_BIN/sparsify" || skip "the tools are out of nobody's reach"
  fi
  fails 1 "closed/x.h5: .*Permission denied" \
    "${as[@]}" "$SUFFICE_BIN/sparsify" mask "$PWD/q.h5" --at /layers/0 -o "$PWD/closed/x.h5"
  [ -z "$(ls -A closed)" ]
  chmod 000 q.h5
  fails 3 "q.h5" \
    "${as[@]}" "$SUFFICE_BIN/sparsify" mask "$PWD/q.h5" --at /layers/0 -o "$PWD/x.h5"
}

@test "too little memory, or a device that is not there, ends with 4" {
  fixture capture q.h5
  fails 4 "device 7" sparsify mask q.h5 --at /layers/0 -o x.h5 --device 7
  [ -z "$SUFFICE_SANITIZE" ] || skip "sanitizers reserve address space"
  make_clips
  fails 4 "memory" bash -c 'ulimit -v 2000000; distill pretrain --data clips.h5 -c model.yaml \
    --set model.width=8192 --set model.depth=64 --set model.heads=64 -o x.h5 --threads 1'
  [ ! -e x.h5 ]
}

@test "killed while writing, the old output stays and the next run cleans up" {
  make_clips
  echo precious >dense.h5
  for wait in 0.05 0.2 0.5; do
    distill pretrain -c model.yaml --data clips.h5 -o dense.h5 --force --steps 100000 \
      --checkpoint-every 0 -q >/dev/null 2>&1 &
    sleep $wait
    kill -KILL $!
    ends $!
    [ "$status" -eq 137 ]
    [ "$(cat dense.h5)" = precious ]
  done
  run -0 distill pretrain -c model.yaml --data clips.h5 -o dense.h5 --force -q
  digest dense.h5
  no_temporaries .
}

@test "a signal ends a command that has no checkpoints with 128 + n" {
  make_clips
  fake_ffmpeg
  for signal in TERM HUP; do
    PATH=$PWD/fake:$PATH generate export clips.h5 -o clips.mp4 >/dev/null 2>&1 &
    sleep 0.5
    kill -$signal $!
    ends $!
    [ "$status" -eq $((128 + $(kill -l $signal))) ]
    [ ! -e clips.mp4 ]
    no_temporaries .
  done
  end_fake
}

@test "a second signal ends a command that does not come to its checkpoint" {
  fake_ffmpeg
  echo video >a.mp4
  PATH=$PWD/fake:$PATH generate import a.mp4 -o clips.h5 >/dev/null 2>&1 &
  sleep 0.5
  kill -TERM $!
  sleep 0.2
  kill -0 $! # it waits for the source that it is reading
  kill -TERM $!
  ends $!
  [ "$status" -eq 143 ]
  [ ! -e clips.h5 ]
  no_temporaries .
  end_fake
}

@test "a reader that goes away ends a command with SIGPIPE" {
  run bash -c 'for i in $(seq 3000); do echo "- {name: s$i, rule: topk}"; done >list
    { echo "settings:"; sed "s/^/  /" list; } >policy.yaml
    sparsify model -c policy.yaml --print-config | head -1; echo "${PIPESTATUS[0]}"'
  [ "${lines[1]}" = 141 ]
}

@test "a profile names each operation and what they are together" {
  fixture capture q.h5
  sparsify mask q.h5 --at /layers/0 -o profiled.h5 --profile 2>err
  grep -q "profile: select .* calls" err
  grep -q "profile: operations together" err
}
