# SPDX-License-Identifier: Apache-2.0
# What the command-line tests share. ctest sets SUFFICE_BIN (the tools), SUFFICE_FIXTURE (a program
# that makes small tensor files) and SUFFICE_SANITIZE (empty without sanitizers).
bats_require_minimum_version 1.5.0

# By hand: SUFFICE_BIN=build/dev/bin SUFFICE_FIXTURE=build/dev/tests/fixture bats tests/cli/x.bats
: "${SUFFICE_BIN:?}" "${SUFFICE_FIXTURE:?}"
SUFFICE_BIN=$(realpath "$SUFFICE_BIN")
SUFFICE_FIXTURE=$(realpath "$SUFFICE_FIXTURE")
PATH=$SUFFICE_BIN:$PATH
unset NO_COLOR

setup() { mkdir "$BATS_TEST_TMPDIR/work" && cd "$BATS_TEST_TMPDIR/work" || return 1; }

fixture() { "$SUFFICE_FIXTURE" "$1" "$2"; }

# fails STATUS PATTERN COMMAND...: the command ends with the status and one line on standard error
# matches the pattern.
fails() {
  local wanted=$1 pattern=$2
  shift 2
  run --separate-stderr "$@"
  if [ "$status" -ne "$wanted" ] || ! grep -Eq -- "$pattern" <<<"$stderr"; then
    echo "$*: status $status, $wanted wanted; '$pattern' wanted in: $stderr"
    return 1
  fi
}

# ends PID: waits for a job of this shell (run would ask in a subshell) and sets status.
ends() {
  status=0
  wait "$1" || status=$?
}

# stopped_at SIGNAL LINE OUT COMMAND...: the command, with OUT as its output, gets the signal once a
# line of what it says matches, and ends with 75, with a checkpoint instead of OUT.
stopped_at() {
  local signal=$1 line=$2 made=$3 i job
  shift 3
  "$@" -o "$made" --progress lines >/dev/null 2>talk &
  job=$!
  for i in $(seq 2000); do
    ! grep -Eq "$line" talk || break
    sleep 0.005
  done
  kill -"$signal" $job
  ends $job
  [ "$status" -eq 75 ] || return 1
  [ -e "$made.checkpoint" ] || return 1
  [ ! -e "$made" ]
}

digest() {
  generate inspect "$1" --json 2>/dev/null |
    /usr/bin/python3 -c 'import json, sys; print(json.load(sys.stdin)["content_digest"])'
}

is_json() { /usr/bin/python3 -c 'import json, sys; json.load(sys.stdin)'; }

# Two classes of 40 little pictures each: left/ and right/.
make_pictures() {
  /usr/bin/python3 - <<'PYTHON'
import os
import struct
import zlib


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(path, size, pixels):
    rows = b"".join(b"\0" + pixels[y * size * 3:(y + 1) * size * 3] for y in range(size))
    with open(path, "wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n" +
                   chunk(b"IHDR", struct.pack(">IIBBBBB", size, size, 8, 2, 0, 0, 0)) +
                   chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


for name, step in (("left", -1), ("right", 1)):
    os.makedirs(name)
    for frame in range(40):
        png(f"{name}/{frame:03}.png", 16, bytes(
            value for y in range(16) for x in range(16)
            for value in (255 if (x - step * frame) % 16 < 4 else 20,
                          255 if (y - frame // 2) % 16 < 4 else 30, x * y)))
PYTHON
}

# clips.h5 and model.yaml of a model that trains in a fraction of a second.
make_clips() {
  make_pictures
  generate import left right --clip-frames 4 --width 16 --height 16 -o clips.h5 -q >/dev/null
  cat >model.yaml <<'YAML'
frames: 4
height: 16
width: 16
model: {patch: [1, 2, 2], width: 32, depth: 2, heads: 2, classes: 2}
train: {steps: 20, batch: 2, micro_batch: 2, held_out_draws: 2, optimizer: {warmup_steps: 5}}
YAML
}

# classifier.yaml of a classifier for those clips.
make_classifier_config() {
  cat >classifier.yaml <<'YAML'
frames: 4
height: 16
width: 16
model: {patch: [2, 4, 4], width: 16, depth: 1, heads: 1}
train: {steps: 20, batch: 4, micro_batch: 4, held_out_draws: 16, optimizer: {warmup_steps: 5}}
YAML
}

make_dense() { distill pretrain -c model.yaml --data clips.h5 -o dense.h5 --seed 3 -q >/dev/null; }

# A policy of one setting: policy.yaml.
make_policy() {
  cat >policy.yaml <<'YAML'
block_q: 64
block_k: 64
settings:
  - {name: half, rule: topk, k: 0.5}
YAML
}

# The dense model with that policy: sparse.h5.
make_sparse() {
  make_policy
  sparsify model dense.h5 -c policy.yaml -o sparse.h5 -q >/dev/null
}
