#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What is said to whoever types: help, suggestions, settings, plans, colours, machine-readable forms.
load helper

@test "help and version go to standard output, a bare tool's help to standard error" {
  for tool in sparsify distill generate calibrate audit; do
    run -0 --separate-stderr "$tool" --help
    [[ ${lines[0]} == "$tool: "* && $output == *Examples:* && -z $stderr ]]
    run -0 --separate-stderr "$tool" --version
    [[ $output == "$tool (suffice) "* && -z $stderr ]]
    run -0 --separate-stderr "$tool" --version -v
    [[ $output == *"backend ref: usable"* && $output == *hdf5* ]]
    fails 2 "^Verbs:" "$tool"
    [ -z "$output" ]
  done
}

@test "a verb's help leads with examples, help VERB is the same" {
  run -0 sparsify attend --help
  [[ ${lines[1]} == Examples:* ]]
  first=$output
  run -0 sparsify help attend
  [ "$output" = "$first" ]
}

@test "misspelt verbs, options and keys name the nearest" {
  fails 2 "unknown verb 'atend' \(did you mean 'attend'\?\)" sparsify atend
  fails 2 "unknown option '--forse' \(did you mean '--force'\?\)" sparsify attend q.h5 -o x.h5 --forse
  fails 2 "unknown key 'rul' \(did you mean 'rule'\?\)" sparsify attend --set rul=topk --print-config
  echo "alpa: 0.1" >target.yaml
  fails 2 "target.yaml:1:1: unknown key 'alpa' \(did you mean 'alpha'\?\)" \
    calibrate select -c target.yaml --print-config
  fails 2 "unknown option '-x'" audit verify ledger -x
  fails 2 "unexpected argument 'more'" audit verify ledger more
}

@test "every problem of a config is reported at once, with its place" {
  printf 'alpha: 2\nalpha: 0.1\nlos: x\np_value: [1]\n' >target.yaml
  run -2 --separate-stderr calibrate select -c target.yaml --print-config
  [[ $stderr == *target.yaml:1:8:* && $stderr == *target.yaml:2:1:* && $stderr == *target.yaml:3:1:* ]]
  fails 2 "k: .*0 to 1" sparsify attend --k 1.5 --print-config
  fails 2 "k: .*" sparsify attend --k 0.1234567 --print-config
  printf 'a: &x 1\nb: *x\n' >anchors.yaml
  fails 2 "anchors.yaml:" calibrate select -c anchors.yaml --print-config
  fails 3 "missing.yaml" calibrate select -c missing.yaml --print-config
}

@test "flag wins over --set, that over a later file, that over an earlier one" {
  echo "alpha: 0.2" >one.yaml
  echo "alpha: 0.3" >two.yaml
  config() { calibrate select -c one.yaml "$@" --print-config | sed -n 's/^alpha: //p'; }
  [ "$(config)" = "0.2  # one.yaml:1" ]
  [ "$(config -c two.yaml)" = "0.3  # two.yaml:1" ]
  [ "$(config -c two.yaml --set alpha=0.4)" = "0.4  # --set" ]
  [ "$(config -c two.yaml --set alpha=0.4 --alpha 0.5)" = "0.5  # --alpha" ]
}

@test "--print-config loads to itself, --print-schema is JSON" {
  sparsify attend --k 0.07 --set window=64 --print-config >first.yaml
  sparsify attend -c first.yaml --print-config >second.yaml
  diff <(sed 's/  # .*//' first.yaml) <(sed 's/  # .*//' second.yaml)
  for verb in attend mask sweep model; do sparsify "$verb" --print-schema | is_json; done
}

@test "an argument that is missing is named, a number that is none too" {
  fails 2 "output: missing|--output: missing" sparsify mask q.h5
  fails 2 "qkv: missing" sparsify mask -o x.h5
  fails 2 "--threads two: an integer" sparsify mask q.h5 -o x.h5 --threads two
  fails 2 "--seed -1: an integer from 0" sparsify attend q.h5 -o x.h5 --seed=-1
  fails 2 "--progress loud: auto" sparsify mask q.h5 -o x.h5 --progress loud
  fails 2 "--color red: auto" sparsify mask q.h5 -o x.h5 --color red
  fails 2 "backend 'tpu': this build has auto" bash -c "'$SUFFICE_FIXTURE' capture q.h5 &&
    sparsify attend q.h5 --at /layers/0 -o x.h5 --backend tpu"
}

@test "a GPU that is not there is exit status 4, auto takes the CPU and says why" {
  if nvidia-smi -L >/dev/null 2>&1; then skip "this machine has a GPU"; fi
  "$SUFFICE_FIXTURE" capture q.h5
  for where in "--backend cuda" "--backend cuda --isa sm_80" "--backend cuda --device 3"; do
    fails 4 "backend cuda: " sparsify attend q.h5 --at /layers/0 -o x.h5 $where
    [ ! -e x.h5 ]
  done
  run -0 --separate-stderr sparsify attend q.h5 --at /layers/0 -o x.h5
  talk=$stderr
  [[ $talk == *"on cpu"* ]]
  run -0 sparsify --version -v
  if [[ $output == *"backend cuda: "* ]]; then [[ $talk == *"(cuda: "* ]]; fi
}

@test "a folder that is not there is said before anything is computed" {
  make_clips
  fails 1 "nowhere/x.h5: cannot be created: No such file or directory" \
    distill pretrain -c model.yaml --data clips.h5 -o nowhere/x.h5
  [[ $stderr != *step* ]]
}

@test "--dry-run says all and touches nothing" {
  fixture capture q.h5
  ls -lA --time-style=full-iso >../before
  run -0 --separate-stderr sparsify attend q.h5 --at /layers/0 -o x.h5 --dry-run
  [[ $stderr == *"(1, 2, 256, 32)"* && $stderr == *"would write x.h5"* && $stderr == *MiB* ]]
  ls -lA --time-style=full-iso | diff ../before -
  run -0 audit log init ledger --keys keys --dry-run
  run -0 audit key new keys --dry-run
  ls -lA --time-style=full-iso | diff ../before -
  # A problem is found all the same.
  fails 3 "/layers/1/q: is missing" sparsify attend q.h5 --at /layers/1 -o x.h5 --dry-run
}

@test "an existing output is kept without --force" {
  fixture capture q.h5
  echo precious >x.h5
  fails 2 "x.h5: already exists; --force replaces it" sparsify mask q.h5 --at /layers/0 -o x.h5
  [ "$(cat x.h5)" = precious ]
  run -0 sparsify mask q.h5 --at /layers/0 -o x.h5 --force
  [ "$(head -c 4 x.h5)" = $'\x89HDF' ]
  mkdir folder
  fails 2 "folder: exists and is not a regular file" \
    sparsify mask q.h5 --at /layers/0 -o folder --force
}

@test "colour is asked for, and NO_COLOR respected" {
  # A line that waits is dim: on a terminal, or with --color always.
  command -v script >/dev/null || skip "script(1) not found"
  fixture capture q.h5
  tty() { script -qec "$1" /dev/null; }
  [[ $(tty "sparsify mask q.h5 --at /layers/0 -o a.h5 --color never --progress lines") != *$'\e['* ]]
  [[ $(tty "env NO_COLOR=1 sparsify mask q.h5 --at /layers/0 -o b.h5 --progress lines") != *$'\e['* ]]
  run -0 --separate-stderr sparsify mask q.h5 --at /layers/0 -o c.h5
  [[ $output$stderr != *$'\e['* ]]
}

@test "--json is one JSON value, --quiet says nothing" {
  fixture capture q.h5
  fixture runs runs.h5
  sparsify attend q.h5 --at /layers/0 -o a.h5 --json --exact 2>/dev/null | is_json
  sparsify mask q.h5 --at /layers/0 -o b.h5 --json 2>/dev/null | is_json
  sparsify sweep q.h5 --json 2>/dev/null | is_json
  calibrate frontier --runs runs.h5 --json 2>/dev/null | is_json
  calibrate select --runs runs.h5 -o selection.yaml --json 2>/dev/null | is_json
  generate inspect q.h5 --json 2>/dev/null | is_json
  run -0 --separate-stderr sparsify mask q.h5 --at /layers/0 -o c.h5 -q
  [ -z "$stderr" ]
}

@test "stdout takes one thing: a stream that is an output, or the report" {
  fixture capture q.h5
  fixture runs runs.h5
  fails 2 "^sparsify mask: output -: an HDF5 file cannot be streamed; the name of a file is wanted" \
    sparsify mask q.h5 --at /layers/0 -o -
  fails 2 "^distill pretrain: output -: an HDF5 file" distill pretrain --data q.h5 -o - --dry-run
  fails 2 "^generate import: output -: an HDF5 file" generate import q.h5 -o -
  for command in "sparsify sweep q.h5 -o -" "calibrate frontier --runs runs.h5 -o -" \
    "calibrate select --runs runs.h5 -o -" "audit report ledger -o -" "generate export q.h5 -o -"; do
    fails 2 "--json: stdout is taken by output -" $command --json
    [ -z "$output" ]
  done
  fails 2 "table -: stdout is taken by output -" sparsify bench --case none -o - --table -
  calibrate frontier --runs runs.h5 -o frontier.tsv -q >/dev/null
  [ "$(calibrate frontier --runs runs.h5 -o - -q)" = "$(cat frontier.tsv)" ]
  [ -z "$(find . -name '-*')" ]
}

@test "the curve of a training can be its product on standard output" {
  make_clips
  run -0 --separate-stderr distill pretrain -c model.yaml --data clips.h5 --steps 3 --curve - -o x.h5 -q
  [[ ${lines[0]} == step* && ${#lines[@]} -eq 4 ]]
}

@test "a key that the rule takes no notice of is refused" {
  fixture capture q.h5
  refuses() { fails 2 "^sparsify $2: $1" sparsify "$2" q.h5 --at /layers/0 -o x.h5 "${@:3}"; }
  refuses "k: of no use with rule dense" mask --rule dense --k 0.1
  refuses "p: of no use with rule topk" attend --rule topk --p 0.1
  refuses "k: of no use with rule topp" attend --rule topp --k 0.1
  refuses "window: of no use with rule dense" mask --rule dense --set window=64
  sparsify mask q.h5 --at /layers/0 -o mask.h5 -q >/dev/null
  refuses "rule: of no use with --mask" attend --mask mask.h5 --rule topk
  refuses "k: of no use with --mask" attend --mask mask.h5 --k 0.1
  # The keys of --print-config are all there, and those at their defaults say nothing.
  sparsify mask --rule dense --print-config >dense.yaml
  run -0 sparsify mask q.h5 --at /layers/0 -c dense.yaml -o x.h5
}

@test "a dataset that is given twice is refused" {
  make_clips
  cp clips.h5 copy.h5
  fails 2 "^distill pretrain: data clips.h5: is given twice" \
    distill pretrain -c model.yaml --data clips.h5:0.3 --data clips.h5:0.7 -o x.h5
  fails 2 "data copy.h5: is given twice, also as clips.h5" \
    distill classify --data clips.h5 --data copy.h5 -o x.h5
}

@test "--progress=jsonl is an object a line" {
  fixture capture q.h5
  sparsify sweep q.h5 --progress=jsonl 2>lines >/dev/null
  [ "$(wc -l <lines)" -ge 3 ]
  /usr/bin/python3 - <<'PYTHON'
import json
events = [json.loads(line) for line in open("lines")]
assert all(isinstance(e, dict) and e["command"] == "sparsify sweep" for e in events), events
assert events[0]["event"] == "plan" and any(e["event"] == "step" for e in events), events
PYTHON
}

@test "the first line comes within a second" {
  [ -z "$SUFFICE_SANITIZE" ] || skip "sanitizers are slow"
  make_clips
  start=$EPOCHREALTIME
  distill pretrain -c model.yaml --data clips.h5 -o dense.h5 --steps 200 2>&1 >/dev/null | {
    read -r _
    /usr/bin/python3 -c "import sys; sys.exit(not $EPOCHREALTIME - $start < 1.0)"
  }
}

@test "a table to standard output can be piped" {
  fixture runs runs.h5
  run -0 bash -c "calibrate frontier --runs runs.h5 -o - 2>/dev/null | cut -f 1"
  [ "$output" = $'setting\na\nb\nc' ]
  run -0 bash -c "calibrate select --runs runs.h5 -o - 2>/dev/null | grep -c '^rungs:'"
  [ "$output" = 1 ]
}

@test "only bash is completed" {
  fails 2 "completion zsh: bash wanted" sparsify --completion zsh
}

@test "footage that one dataset holds out is not trained on in another" {
  make_clips
  printf 'held_out: 0\n' >all.yaml
  generate import left right -c all.yaml --clip-frames 4 --width 16 --height 16 -o all.h5 -q >/dev/null
  fails 2 "all.h5: source 'left': would train on frames that clips.h5 holds out" \
    distill pretrain -c model.yaml --data clips.h5 --data all.h5 -o x.h5
  [ ! -e x.h5 ]
}

@test "messages name what is wrong: weights, outputs, sweeps, masks, other kinds of files" {
  make_clips
  fails 2 "data clips.h5:-1: no file with a weight" \
    distill pretrain -c model.yaml --data clips.h5:-1 --data all.h5:1 -o x.h5
  fails 2 "x.h5: two outputs have this name" \
    distill pretrain -c model.yaml --data clips.h5 -o x.h5 --curve x.h5
  fixture capture q.h5
  for key in rules orders k hybrid_p; do
    fails 2 "$key: none given" sparsify sweep q.h5 -o x.tsv --set "$key=[]"
  done
  fixture batches b.h5
  sparsify mask q.h5 --at /layers/0 -o mask.h5 -q >/dev/null
  fails 2 "/mask: shape .*, the capture wants" sparsify attend b.h5 --mask mask.h5 -o x.h5
  make_dense
  generate sample dense.h5 --count 2 --steps 1 -o samples.h5 -q >/dev/null
  fails 3 "encoding-type model, wanted samples or dataset" \
    generate compare samples.h5 --reference dense.h5 -o x.json
  distill pretrain -c model.yaml --data clips.h5 -o none.h5 --steps 0 -q >/dev/null
  make_sparse
  fails 3 "none.h5: its velocity is zero at every unit" \
    generate evaluate sparse.h5 --reference none.h5 --data clips.h5 --units 4 -o x.h5
}

@test "control characters of what a message quotes do not reach the terminal" {
  make_clips
  make_dense
  fails 2 'le\\x1b\[31mft' generate sample dense.h5 --class $'le\e[31mft' -o x.h5
}
