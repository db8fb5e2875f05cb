#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Work in shards, merged again; classes from a file.
load helper

sample() { generate sample dense.h5 --classes-from classes.txt --steps 2 --seed 5 -q "$@"; }
evaluate() {
  generate evaluate sparse.h5 --reference dense.h5 --data clips.h5 --units "${units:-7}" --seed 5 -q "$@"
}
capture() { generate capture dense.h5 --data clips.h5 --draws "${draws:-4}" --seed 5 -q "$@"; }
sweep() {
  sparsify sweep qkv.h5 --set tile=[2,4,4] --set k=[0.2,0.5] --set p=[0.5] --threads 1 -q "$@"
}
make_models() {
  make_clips
  make_dense
  make_sparse
  printf '# six\nleft\nright\n\n1\n  left \nright\n0\n' >classes.txt
}

# What a runs file says, its seconds aside.
without_seconds() { h5dump -d /units/id -d /losses/error -d /cost -d /settings/density "$1" | tail -n +2; }

@test "shards merge into what one run makes: samples and captures by digest, runs but for seconds" {
  make_models
  for what in sample capture evaluate; do
    $what -o $what.h5 >/dev/null
    for i in 0 1 2; do $what --shard $i/3 -o $what-$i.h5 >/dev/null; done
    run -0 generate merge $what-2.h5 $what-0.h5 $what-1.h5 -o merged-$what.h5
    [[ $output == *"of 3 shards"* ]]
    [ "$(digest $what-0.h5)" != "$(digest $what-1.h5)" ]
  done
  [ "$(digest merged-sample.h5)" = "$(digest sample.h5)" ]
  [ "$(digest merged-capture.h5)" = "$(digest capture.h5)" ]
  [ "$(without_seconds merged-evaluate.h5)" = "$(without_seconds evaluate.h5)" ]
  # One seed, config and set of inputs; what was merged is in the group run.
  generate inspect merged-sample.h5 --json 2>/dev/null | /usr/bin/python3 -c '
import json, sys
file = json.load(sys.stdin)
run = file["attributes"]["/run"]
assert [s.split()[0] for s in run["shards"]] == ["0/3", "1/3", "2/3"], run["shards"]
assert sum("--shard" in line for line in run["history"]) == 3, run["history"]
assert "shard" not in file["attributes"]["/"], file["attributes"]["/"]'
  run -0 generate inspect sample-1.h5
  [[ $output == *shard* ]]
}

@test "shards keep batches whole, so that a batch has the same videos" {
  make_models
  sample --batch 4 -o whole.h5 >/dev/null
  for i in 0 1; do sample --batch 4 --shard $i/2 -o part-$i.h5 >/dev/null; done
  run -0 h5dump -H -d /labels part-0.h5
  [[ $output == *"( 4 )"* ]]
  generate merge part-0.h5 part-1.h5 -o merged.h5 -q >/dev/null
  [ "$(digest merged.h5)" = "$(digest whole.h5)" ]
  sample --batch 4 --save-trajectory -o trajectory.h5 >/dev/null
  for i in 0 1; do sample --batch 4 --save-trajectory --shard $i/2 -o t-$i.h5 >/dev/null; done
  generate merge t-0.h5 t-1.h5 -o t.h5 -q >/dev/null
  [ "$(digest t.h5)" = "$(digest trajectory.h5)" ]
}

@test "the shards of a sweep merge into its table, seconds aside" {
  make_models
  capture -o qkv.h5 >/dev/null
  sweep -o whole.tsv >/dev/null
  for i in 0 1 2; do sweep --shard $i/3 -o part-$i.tsv >/dev/null; done
  [[ $(head -n 1 part-1.tsv) == "# shard {"*'"shard":[1,3]'* ]]
  run -0 sparsify merge part-1.tsv part-2.tsv part-0.tsv -o merged.tsv
  [ "$(cut -f 1-13 merged.tsv)" = "$(cut -f 1-13 whole.tsv)" ]
  [ "$(cut -f 1-13 <(sparsify merge part-{0,1,2}.tsv -o - -q))" = "$(cut -f 1-13 whole.tsv)" ]
  [ "$(wc -l <merged.tsv)" -eq 11 ]

  fails 3 "^sparsify merge: shard 1 of 3: is missing" sparsify merge part-0.tsv part-2.tsv -o x.tsv
  fails 3 "part-2.tsv: shard 2 of 3: is given twice" \
    sparsify merge part-{0,1,2,2}.tsv -o x.tsv
  fails 3 "whole.tsv: not a shard of a sweep" sparsify merge part-0.tsv whole.tsv -o x.tsv
  sweep --shard 1/3 --set p=[0.6] -o other.tsv >/dev/null
  fails 3 "other.tsv: shard 1 of 3: its config-sha256 is" \
    sparsify merge part-0.tsv other.tsv part-2.tsv -o x.tsv
  sweep --shard 1/4 -o four.tsv >/dev/null
  fails 3 "four.tsv: shard 1 of 4, part-0.tsv: shard 0 of 3: not of one run" \
    sparsify merge part-0.tsv four.tsv part-2.tsv -o x.tsv
  cp qkv.h5 before.h5
  rm qkv.h5
  draws=5 capture -o qkv.h5 >/dev/null
  sweep --shard 1/3 -o other-qkv.tsv >/dev/null
  fails 3 "other-qkv.tsv: shard 1 of 3: its qkv is" \
    sparsify merge part-0.tsv other-qkv.tsv part-2.tsv -o x.tsv
  head -n 4 part-1.tsv >cut.tsv
  fails 3 "cut.tsv: shard 1 of 3: 2 rows, 3 wanted" \
    sparsify merge part-0.tsv cut.tsv part-2.tsv -o x.tsv
  head -c -5 part-1.tsv >cut.tsv
  fails 3 "cut.tsv:5: not a whole row" sparsify merge part-0.tsv cut.tsv part-2.tsv -o x.tsv
  sed '1s/"rows":\[3,/"rows":[2,/' part-1.tsv >overlap.tsv
  fails 3 "overlap.tsv: shard 1 of 3: .* wanted" \
    sparsify merge part-0.tsv overlap.tsv part-2.tsv -o x.tsv
  sed '1s/"shard"/"shart"/' part-1.tsv >damaged.tsv
  fails 3 "damaged.tsv:1: does not say which shard" \
    sparsify merge part-0.tsv damaged.tsv part-2.tsv -o x.tsv
  fails 2 "merged.tsv: already exists" sparsify merge part-{0,1,2}.tsv -o merged.tsv
  [ ! -e x.tsv ]
}

@test "what does not belong together is not merged" {
  make_models
  for i in 0 1 2; do sample --shard $i/3 -o part-$i.h5 >/dev/null; done
  sample -o whole.h5 >/dev/null
  refuses() { fails 3 "$1" generate merge "${@:2}" -o x.h5; }
  refuses "^generate merge: shard 1 of 3: is missing among the 2 files given" part-0.h5 part-2.h5
  refuses "shard 2 of 3: is missing" part-0.h5 part-1.h5
  refuses "shard 0 of 3: is missing" part-1.h5 part-2.h5
  cp part-1.h5 again.h5
  refuses "again.h5: shard 1 of 3: is given twice, also as part-1.h5" part-{0,1,2}.h5 again.h5
  refuses "whole.h5: not a shard" part-0.h5 whole.h5
  refuses "dense.h5: encoding-type model; samples, runs or capture wanted" part-0.h5 dense.h5
  refuses "missing.h5: no such file" part-0.h5 missing.h5
  sample --shard 1/3 --guidance 2 -o other.h5 >/dev/null
  refuses "other.h5: shard 1 of 3: its config is .*, that of part-0.h5 " part-0.h5 other.h5 part-2.h5
  sample --shard 1/3 --seed 6 -o seed.h5 >/dev/null
  refuses "seed.h5: shard 1 of 3: its seed is 6, that of part-0.h5 5" part-0.h5 seed.h5 part-2.h5
  sample --shard 1/3 --backend ref -o backend.h5 >/dev/null
  refuses "backend.h5: shard 1 of 3: its backend is ref" part-0.h5 backend.h5 part-2.h5
  sed 's/1/0/' classes.txt >other.txt
  generate sample dense.h5 --classes-from other.txt --steps 2 --seed 5 --shard 1/3 -o list.h5 -q >/dev/null
  refuses "list.h5: shard 1 of 3: its input classes is" part-0.h5 list.h5 part-2.h5
  generate sample sparse.h5 --classes-from classes.txt --steps 2 --seed 5 --shard 1/3 -o model.h5 -q \
    >/dev/null
  refuses "model.h5: shard 1 of 3: its input model is" part-0.h5 model.h5 part-2.h5
  sample --shard 1/2 -o half.h5 >/dev/null
  refuses "half.h5: shard 1 of 2, part-0.h5: shard 0 of 3: not of one run" part-0.h5 half.h5
  evaluate --shard 1/3 -o runs.h5 >/dev/null
  refuses "runs.h5: shard 1 of 3: its (config|encoding-type) is" part-0.h5 runs.h5 part-2.h5
  # Ranges that cannot be of one run, and rows that are not there.
  spoil() {
    cp part-1.h5 spoilt.h5
    /usr/bin/python3 -c "
import h5py, numpy
with h5py.File('spoilt.h5', 'r+') as file:
    file.attrs['$1'] = numpy.array($2)"
  }
  spoil shard-range '[1, 4, 6]'
  refuses "spoilt.h5: shard 1 of 3: from item 1 on, 2 wanted: it overlaps part-0.h5" \
    part-0.h5 spoilt.h5 part-2.h5
  spoil shard-range '[3, 4, 6]'
  refuses "spoilt.h5: shard 1 of 3: from item 3 on, 2 wanted: it leaves a gap" \
    part-0.h5 spoilt.h5 part-2.h5
  spoil shard-range '[2, 4, 7]'
  refuses "spoilt.h5: shard 1 of 3: of 7 items in all" part-0.h5 spoilt.h5 part-2.h5
  spoil shard '[3, 3]'
  refuses "spoilt.h5: attributes shard and shard-range: are no part of a whole" part-0.h5 spoilt.h5
  spoil shard-pairs '[3]'
  refuses "spoilt.h5: shard 1 of 3: attribute shard-pairs: 2 numbers wanted" \
    part-0.h5 spoilt.h5 part-2.h5
  fails 2 "whole.h5: already exists" generate merge part-{0,1,2}.h5 -o whole.h5
  run -0 --separate-stderr generate merge part-{0,1,2}.h5 -o x.h5 --dry-run
  [[ $stderr == *"merge 3 shards of samples with 6 rows"* ]]
  [ ! -e x.h5 ]
}

@test "a shard is said in the plan; that of a Slurm array is taken from the environment" {
  make_models
  fails 0 "^  *shard 1 of 3: samples 3-4 of 6|shard 1 of 3: samples 3-4 of 6" \
    generate sample dense.h5 --classes-from classes.txt --shard 1/3 --dry-run -o x.h5
  array() { env SLURM_ARRAY_TASK_ID=$1 SLURM_ARRAY_TASK_MIN=$2 SLURM_ARRAY_TASK_COUNT=$3 "${@:4}"; }
  here=(generate sample dense.h5 --classes-from classes.txt --steps 2 --seed 5 -o slurm.h5)
  fails 0 "shard 2 of 3 \(from the Slurm array\): samples 5-6 of 6" array 5 3 3 "${here[@]}"
  sample --shard 2/3 -o given.h5 >/dev/null
  [ "$(digest slurm.h5)" = "$(digest given.h5)" ]
  rm slurm.h5
  fails 0 "shard 1 of 2 \(from the Slurm array\)" \
    array 4 0 2 env SLURM_ARRAY_TASK_STEP=4 "${here[@]}" --dry-run
  fails 0 "shard 0 of 1 \(from the Slurm array\): samples 1-6 of 6" array 4 4 1 "${here[@]}" --dry-run
  # What is given wins, and 0/1 turns it off.
  fails 0 "shard 0 of 2: samples 1-3 of 6" array 1 0 3 "${here[@]}" --shard 0/2 --dry-run
  run -0 --separate-stderr array 1 0 3 "${here[@]}" --shard 0/1
  [[ $stderr != *shard* ]]
  sample -o whole.h5 >/dev/null
  [ "$(digest slurm.h5)" = "$(digest whole.h5)" ]
  # Verbs that are not sharded take no notice.
  run -0 array x 0 3 generate inspect slurm.h5
}

@test "a task of an array takes a shard for its own only if its plan is the same" {
  make_models
  task() { # I OF OUTPUT COMMAND...
    run env SLURM_ARRAY_TASK_ID="$1" SLURM_ARRAY_TASK_MIN=0 SLURM_ARRAY_TASK_COUNT="$2" \
      "$BATS_TEST_DIRNAME/../../examples/slurm/array.sh" "${@:3}"
  }
  command=(generate sample dense.h5 --count 4 --steps 2)
  task 0 2 s.h5 "${command[@]}" --seed 7
  [ "$status" -eq 0 ]
  before=$(sha256sum s-0.h5)
  task 0 2 s.h5 "${command[@]}" --seed 7
  [[ $status -eq 0 && $output == *"s-0.h5: is there"* ]]

  refused() {
    [ "$status" -eq 2 ]
    [[ $output == *"s-0.h5: is of another run"*"$1"* ]]
    [ "$(sha256sum s-0.h5)" = "$before" ]
  }
  task 0 2 s.h5 "${command[@]}" --seed 8
  refused "< 7"
  [[ $output == *"> 8"* ]]
  task 0 4 s.h5 "${command[@]}" --seed 7
  refused "> task 0 of 4"
  mv dense.h5 old.h5
  distill pretrain -c model.yaml --data clips.h5 -o dense.h5 --seed 4 -q >/dev/null
  task 0 2 s.h5 "${command[@]}" --seed 7
  refused "$(sha256sum dense.h5)"
  mv old.h5 dense.h5
  mv s-0.h5.plan plan
  task 0 2 s.h5 "${command[@]}" --seed 7
  refused "s-0.h5.plan: No such file"
  # A checkpoint alone is a run's too.
  mv plan s-0.h5.plan
  mv s-0.h5 s-0.h5.checkpoint
  task 0 2 s.h5 "${command[@]}" --seed 8
  [ "$status" -eq 2 ]
  [ "$(sha256sum <s-0.h5.checkpoint)" = "${before%s-0.h5}-" ]
  # What is left of a run that made nothing is not in the way.
  rm s-0.h5.checkpoint
  task 0 2 s.h5 "${command[@]}" --seed 8
  [ "$status" -eq 0 ]
  [ -e s-0.h5 ]
}

@test "a shard that cannot be is exit status 2" {
  make_models
  for shard in 3/3 -1/3 1 1/ /3 a/b 1/0 0/1000001 1/3x; do
    fails 2 "--shard $shard: I/N with 0 <= I < N" sample "--shard=$shard" -o x.h5
  done
  fails 2 "shard 0/7: there are 6 samples: at most 6 shards" sample --shard 0/7 -o x.h5
  fails 2 "shard 1/3: there are 6 samples, 4 of them stay together: at most 2 shards" \
    sample --batch 4 --shard 1/3 -o x.h5
  fails 2 "shard 0/8: there are 7 units" evaluate --shard 0/8 -o x.h5
  fails 2 "shard 0/5: there are 12 units, 3 of them stay together: at most 4 shards" \
    capture --shard 0/5 -o x.h5
  fails 2 "unknown option '--shard'" generate inspect dense.h5 --shard 0/2
  fails 2 "SLURM_ARRAY_TASK_ID: 'x' found, an integer from 0 wanted" \
    env SLURM_ARRAY_TASK_ID=x SLURM_ARRAY_TASK_MIN=0 SLURM_ARRAY_TASK_COUNT=3 \
    generate sample dense.h5 -o x.h5
  # --array=1,5,9: three tasks, but 5 is not the second of three in a row.
  fails 2 "SLURM_ARRAY_TASK_ID: 5 of 3 tasks from 1 on, in steps of 1, is no place in an array" \
    env SLURM_ARRAY_TASK_ID=5 SLURM_ARRAY_TASK_MIN=1 SLURM_ARRAY_TASK_COUNT=3 \
    generate sample dense.h5 -o x.h5
  [ ! -e x.h5 ]
}

@test "a shard stops and goes on bit for bit, from its own checkpoint alone" {
  make_models
  long() { generate sample dense.h5 --count 60 --steps 60 --seed 5 -q "$@"; }
  long --shard 1/2 -o whole.h5 >/dev/null
  stopped_at USR1 "samples 31-31 of 60, step" part.h5 \
    generate sample dense.h5 --count 60 --steps 60 --seed 5 --shard 1/2
  fails 2 "part.h5.checkpoint: its shard is 1/2, this run's 0/2; --force starts over" \
    long --shard 0/2 -o part.h5 --resume
  fails 2 "part.h5.checkpoint: its shard is 1/2, this run's 0/1" long -o part.h5 --resume
  run -0 long --shard 1/2 -o part.h5 --resume
  [ "$(digest part.h5)" = "$(digest whole.h5)" ]
}

@test "every kind of shard goes on after a stop" {
  make_models
  draws=16 capture -o qkv.h5 >/dev/null
  goes_on() { # COMMAND OUTPUT
    local stops=0 budget
    $1 --shard 1/2 -o "whole-$2" >/dev/null
    for budget in $(awk 'BEGIN {for (b = 0.002; b < 600; b *= 1.2) print b}'); do
      run $1 --shard 1/2 -o "$2" --resume --budget "$budget"
      [ "$status" -ne 0 ] || break
      [ "$status" -eq 75 ] || [ "$status" -eq 7 ]
      [ "$status" -ne 75 ] || stops=$((stops + 1))
    done
    [ "$status" -eq 0 ] && [ "$stops" -gt 0 ]
  }
  units=60 goes_on evaluate runs.h5
  [ "$(without_seconds runs.h5)" = "$(without_seconds whole-runs.h5)" ]
  draws=20 goes_on capture c.h5
  [ "$(digest c.h5)" = "$(digest whole-c.h5)" ]
  # A sweep may take less than its plan says, so that no budget stops it: a signal does, if it comes in time.
  local attempt i job
  local loud=(sparsify sweep qkv.h5 --set 'tile=[2,4,4]' --set 'p=[0.5]' --threads 1 --shard 1/2)
  "${loud[@]}" -o whole-s.tsv -q >/dev/null
  for attempt in $(seq 20); do
    rm -f s.tsv
    "${loud[@]}" -o s.tsv --progress lines >/dev/null 2>talk &
    job=$!
    for i in $(seq 2000); do
      ! grep -q "writes s.tsv" talk && kill -0 $job 2>/dev/null || break
      sleep 0.005
    done
    kill -USR1 $job 2>/dev/null || true
    ends $job
    [ "$status" -eq 0 ] || break
  done
  [ "$status" -eq 75 ]
  run -0 "${loud[@]}" -o s.tsv --resume
  [ "$(cut -f 1-13 s.tsv)" = "$(cut -f 1-13 whole-s.tsv)" ]
}

@test "a merge is recorded in the ledger" {
  make_models
  audit log init ledger --keys keys -q >/dev/null
  for i in 0 1; do sample --shard $i/2 -o part-$i.h5 --ledger ledger --keys keys >/dev/null; done
  generate merge part-{0,1}.h5 -o merged.h5 --ledger ledger --keys keys -q >/dev/null
  run -0 audit verify ledger
  run -0 audit log show ledger
  [[ $output == *"generate merge"* ]]
}

@test "classes from a file are taken in turn, and are an input" {
  make_models
  labels() { h5dump -d /labels -y -o labels.txt "$1" >/dev/null && tr -d ' \n' <labels.txt; }
  sample -o six.h5 >/dev/null
  [ "$(labels six.h5)" = 0,1,1,0,1,0 ]
  sample --count 8 -o eight.h5 >/dev/null
  [ "$(labels eight.h5)" = 0,1,1,0,1,0,0,1 ]
  generate inspect six.h5 --json 2>/dev/null >six.json
  grep -q "\"classes\": \"$(sha256sum classes.txt | cut -d' ' -f1)\"" six.json
  printf 'left\r\nright\r\n' >dos.txt
  run -0 generate sample dense.h5 --classes-from dos.txt --steps 2 -o dos.h5
  [ "$(labels dos.h5)" = 0,1 ]

  from() { generate sample dense.h5 --classes-from "$1" --steps 2 -o x.h5 "${@:2}"; }
  printf '# list\nleft\nrigth\n' >bad.txt
  fails 3 "bad.txt:3: class 'rigth': unknown \(did you mean 'right'\?\)" from bad.txt
  printf 'left\n\n2\n' >bad.txt
  fails 3 "bad.txt:3: class '2': unknown, the model has left, right \(0 to 1\)" from bad.txt
  printf '# nothing\n\n' >bad.txt
  fails 3 "bad.txt: no class in it" from bad.txt
  fails 3 "none.txt: no such file" from none.txt
  fails 2 "class 'left': asked for beside classes.txt" from classes.txt --class left
  fails 2 "classes -: a file is wanted" from -
}
