#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The scripts of the paper's tables, in their tiny form: those that train nothing but the dense model.
load helper

tables=$BATS_TEST_DIRNAME/../../examples/tables/spargeattention2
clips=$BATS_TEST_DIRNAME/../../examples/quickstart/clips
three_clips=$BATS_TEST_DIRNAME/../../examples/three-clips

@test "tables of captures: made once, with an interval in each cell, and not under other settings" {
  command -v ffmpeg >/dev/null || skip "ffmpeg not found"
  generate import "$clips"/{box,cup,tree}.mp4 -c "$three_clips/clips.yaml" \
    --width 40 --height 36 --clip-frames 8 -o clips.h5 -q >/dev/null
  export TINY=1 BACKEND=cpu
  run -0 "$tables/run.sh" clips.h5 out 1_model 7
  [[ $output == *"## Table 1 on captured rows"* && $output == *"table1_model: dense.json"* ]]
  /usr/bin/python3 - <<'PYTHON'
import json

for table in ("1_model", "7"):
    made = json.load(open(f"out/results/table{table}.json"))
    for row in made["rows"] + made.get("second", {"rows": []})["rows"]:
        for name, cell in row["cells"].items():
            assert len(cell["values"]) == 2, (row["name"], name)
            assert cell["mean"] is None or len(cell["interval"]) == 2, (row["name"], name)
rows = json.load(open("out/results/table1_model.json"))["rows"]
entropies = [row["cells"]["entropy"]["mean"] for row in rows[:4]]
assert entropies == sorted(entropies), entropies
ranked = json.load(open("out/results/table7.json"))["second"]["rows"]
for column, cell in ranked[0]["cells"].items():
    if column.startswith("mass"):
        assert ranked[2]["cells"][column]["mean"] >= cell["mean"], column
PYTHON
  run -0 "$tables/run.sh" clips.h5 out 1_model
  [[ $output != *"table1_model: "* ]]
  STEPS=5 fails 2 "out is of other settings" "$tables/table7.sh" clips.h5 out
  DENSITY=0.1 fails 1 "DENSITY=0.1: of 8 key blocks top-k keeps 1" "$tables/table1_model.sh" clips.h5 x
  [ "$(ls)" = "$(printf 'clips.h5\nout\nx')" ]
}

@test "a p that no sweep brackets is refused, not guessed" {
  sweep() { # RULE P DENSITY...
    printf 'order\trule\tk\tp\tscores\trows\tdensity\n'
    while [ $# -gt 2 ]; do
      printf 'raster\t%s\t-\t%s\tmean\tall\t%s\n' "$1" "$2" "$3"
      set -- "$1" "${@:4}"
    done
  }
  sweep topk - 0.25 >target.tsv
  sweep topp 0.2 0.1 0.6 0.4 >around.tsv
  [ "$(/usr/bin/python3 "$tables/collect.py" p topp target.tsv around.tsv)" = 0.400000 ]
  sweep topp 0.2 0.1 0.6 0.2 >below.tsv
  fails 1 "collect.py: below.tsv: rule topp keeps 0.100000 to 0.200000, top-k 0.250000: no p between" \
    /usr/bin/python3 "$tables/collect.py" p topp target.tsv below.tsv
  [ -z "$output" ]
}
