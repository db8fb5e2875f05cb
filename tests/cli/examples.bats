#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Every example of the manual pages and of --help, as written, in a folder that has what it names.
# bench alone is left out: it takes as long as it is given.
load helper

# A folder with every input that an example names, made by the pipe of suffice(7) with a model that
# trains in a moment.
make_folder() {
  make_pictures
  local name
  for name in box.mp4 cup.mp4 tree.avi; do
    ffmpeg -v error -f lavfi -i testsrc2=size=32x32:rate=20:duration=2 "$name"
  done
  printf 'clip_frames: 4\nwidth: 16\nheight: 16\n' >clips.yaml
  cat >model.yaml <<'YAML'
frames: 4
height: 16
width: 16
model: {patch: [1, 2, 2], width: 32, depth: 6, heads: 2, classes: 3}
train: {steps: 4, batch: 2, micro_batch: 2, held_out_draws: 2, optimizer: {warmup_steps: 2}}
YAML
  cat >sparse.yaml <<'YAML'
train: {steps: 4, batch: 2, micro_batch: 2, held_out_draws: 2, optimizer: {warmup_steps: 2}}
YAML
  make_policy
  make_classifier_config
  printf 'units: 24\nsettings:\n  - {name: most, rule: topk, k: 0.8}\n' >grid.yaml
  printf 'alpha: 0.1\ndelta: 0.1\n' >target.yaml
  audit log init ledger --keys keys -q
  cp keys/log.pub .
  local recorded=(--ledger ledger --keys keys -q)
  generate import box.mp4 cup.mp4 tree.avi -c clips.yaml -o clips.h5 "${recorded[@]}"
  distill pretrain -c model.yaml --data clips.h5 -o dense.h5 "${recorded[@]}"
  cp dense.h5 shipped.h5
  generate capture dense.h5 --data clips.h5 -o qkv.h5 "${recorded[@]}"
  sparsify model dense.h5 -c policy.yaml -o sparse0.h5 "${recorded[@]}"
  distill sparse sparse0.h5 --teacher dense.h5 --data clips.h5 -c sparse.yaml \
    -o sparse.h5 "${recorded[@]}"
  generate evaluate sparse.h5 --reference dense.h5 --data clips.h5 --grid grid.yaml -o runs.h5 \
    "${recorded[@]}"
  calibrate select --runs runs.h5 -c target.yaml -o selection.yaml "${recorded[@]}" || [ $? -eq 5 ]
  generate sample dense.h5 --steps 4 -o sample.h5 "${recorded[@]}"
  cp sample.h5 samples.h5
  printf 'box\ntree\n' >classes.txt
  local i
  for i in 0 1; do
    generate sample dense.h5 --steps 4 --shard $i/2 -o sample-$i.h5 "${recorded[@]}"
    sparsify sweep qkv.h5 --set orders=[raster] --shard $i/2 -o sweep-$i.tsv "${recorded[@]}"
  done
  cp sample.h5 dense-sample.h5
  distill classify -c classifier.yaml --data clips.h5 -o classifier.h5 "${recorded[@]}"
  /usr/bin/python3 -c '
import numpy
for name in "qkv":
    numpy.save(name, numpy.random.default_rng(1).normal(size=(1, 2, 256, 32)).astype("f4"))'
  # A player, for examples that end in one.
  mkdir bin
  printf '#!/bin/sh\nexec cat >/dev/null\n' >bin/ffplay
  chmod +x bin/ffplay
}

# The examples of a tool, one a line.
examples_of() {
  local verb
  sed -n 's/^\.Dl //p' "$BATS_TEST_DIRNAME/../../man/$1.1"
  for verb in "" $("$1" --help | sed -n '/^Verbs:/,/^$/p' | awk 'NF > 1 {print $1}'); do
    # shellcheck disable=SC2086  # no verb is no word
    "$1" $verb --help | sed -n '/^Examples:/,/^$/s/^  \([a-z]\)/\1/p'
  done
}

@test "every example runs as written" {
  make_folder >/dev/null
  local tool command made count=0 work=$BATS_TEST_TMPDIR/copy
  for tool in sparsify distill generate calibrate audit; do
    while read -r command; do
      rm -rf "$work"
      cp -r . "$work"
      for made in $(grep -oE '(-o|--table|--curve) [^ -][^ ]*' <<<"$command" | cut -d' ' -f2); do
        rm -f "$work/$made"
      done
      case $command in
        'audit key new'* | 'audit log init'*) rm -rf "$work/keys" "$work/ledger" ;;
      esac
      [[ $command != "audit log init"* ]] || cp -r keys "$work"
      run bash -c "cd '$work' && PATH=$work/bin:\$PATH && set -o pipefail && $command"
      # 5: nothing could be certified, which is an answer.
      if [ "$status" -ne 0 ] && { [ "$status" -ne 5 ] || [[ $command != "calibrate select"* ]]; }; then
        echo "$command: status $status: $output"
        return 1
      fi
      count=$((count + 1))
    done < <(examples_of $tool | grep -v '^sparsify bench' | sort -u)
  done
  echo "$count examples"
  [ "$count" -ge 30 ]
}
