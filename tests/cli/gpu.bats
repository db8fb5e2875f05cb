#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The tools on a GPU. Skipped, and said to be, where none can be used.
load helper

needs_a_gpu() {
  sparsify --version -v | grep -q "^backend cuda: usable" || skip "no usable GPU"
  [ -z "$SUFFICE_SANITIZE" ] || skip "a sanitizer wants to be loaded first"
}

# The rest is a command, which loses its GPU once the file $1 is there.
losing_the_gpu() { SUFFICE_FAULT_AFTER=$1 LD_PRELOAD=$SUFFICE_GPU_FAULT "${@:2}"; }

@test "a GPU lost while training: status 1, the last checkpoint named and gone on from bit for bit" {
  needs_a_gpu
  make_clips
  train=(distill pretrain -c model.yaml --data clips.h5 --seed 3 --steps 3000 --backend cuda)
  "${train[@]}" -o whole.h5 -q >/dev/null
  fails 1 "^distill pretrain: (cuda|cublasLt): .*; the last checkpoint is part.h5.checkpoint, of step [1-9]" \
    losing_the_gpu part.h5.checkpoint "${train[@]}" -o part.h5 --checkpoint-every 0.5
  [ ! -e part.h5 ]
  run -0 --separate-stderr "${train[@]}" -o part.h5 --resume
  [[ $stderr == *"going on after"* ]]
  [ "$(digest part.h5)" = "$(digest whole.h5)" ]
}

@test "a GPU lost while sampling: status 1, the output of before and the checkpoint stay" {
  needs_a_gpu
  make_clips
  make_dense
  sample=(generate sample dense.h5 --seed 5 --steps 20000 --backend cuda)
  "${sample[@]}" -o whole.h5 -q >/dev/null
  generate sample dense.h5 --steps 2 -o part.h5 -q >/dev/null
  cp part.h5 before.h5
  fails 1 "^generate sample: (cuda|cublasLt): " losing_the_gpu part.h5.checkpoint \
    "${sample[@]}" -o part.h5 --force --checkpoint-every 0.2
  cmp part.h5 before.h5
  run -0 --separate-stderr "${sample[@]}" -o part.h5 --force --resume
  [[ $stderr == *"going on after"* ]]
  [ "$(digest part.h5)" = "$(digest whole.h5)" ]
}

@test "a step that the GPU has no room for: status 4, with what it wants and what would need less" {
  needs_a_gpu
  make_clips
  fails 4 "device memory: [0-9]+ bytes wanted beside [0-9]+ in use.*a smaller train.micro_batch" \
    distill pretrain -c model.yaml --data clips.h5 --seed 3 --backend cuda -o x.h5 \
    --set model.width=1024 --set model.heads=8 --set train.batch=20000 --set train.micro_batch=20000
  [ ! -e x.h5 ]
}
