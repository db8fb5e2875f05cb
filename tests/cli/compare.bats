#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# How good samples are: a classifier of three clips, and samples of the model that knows them
# against real clips and against each other.
load helper

clips=$BATS_TEST_DIRNAME/../../examples/quickstart/clips
three_clips=$BATS_TEST_DIRNAME/../../examples/three-clips

# clips.h5 of the three clips, and a classifier of three classes after `$1` steps.
make_classifier() {
  command -v ffmpeg >/dev/null || skip "ffmpeg not found"
  generate import "$clips"/{box,cup,tree}.mp4 -c "$three_clips/clips.yaml" -o clips.h5 \
    -q >/dev/null
  distill classify --data clips.h5 --steps "$1" --batch 8 --set train.held_out_draws=60 --seed 1 \
    --curve curve.tsv -o classifier.h5 --json -q >classifier.json
}

# From a score file: the value of a score, or the note of one that is not reported.
score() {
  /usr/bin/python3 - "$1" "$2" <<'PYTHON'
import json
import sys

scores = {s["name"]: s for s in json.load(open(sys.argv[1]))["scores"]}
found = scores[sys.argv[2]]
print(found["value"] if found["value"] is not None else found["note"])
PYTHON
}

holds() { /usr/bin/python3 -c "import sys; sys.exit(not ($1))"; }

@test "samples of the shipped model against real clips" {
  make_classifier 60
  [ "$(wc -l <curve.tsv)" = 61 ]
  /usr/bin/python3 - <<'PYTHON'
import json

made = json.load(open("classifier.json"))
low, high = made["interval"]
assert made["draws"] == 60 and low <= made["accuracy"] <= high, made
assert made["accuracy"] > made["largest_class"], made  # it learnt something
PYTHON
  generate sample "$three_clips/model/shipped.h5" --steps 1 --count 6 --seed 3 -o sample.h5 -q >/dev/null
  run -0 --separate-stderr generate compare sample.h5 --reference clips.h5 --draws 12 \
    --features classifier.h5 --set resamples=100 -o scores.json
  [[ $stderr == *"a covariance is singular"* ]]
  is_json <scores.json
  /usr/bin/python3 - <<'PYTHON'
import json

report = json.load(open("scores.json"))
assert report["samples"]["clips"] == 6 and report["reference"]["clips"] == 12
assert "held-out part of dataset" in report["reference"]["population"]
assert report["classifier"]["draws"] == 60
scores = {s["name"]: s for s in report["scores"]}
for name in ("frechet", "feature_sliced_wasserstein_1", "patch_sliced_wasserstein_2",
             "floor_frechet", "class_agreement", "flicker", "flicker_ratio"):
    low, high = scores[name]["interval"]
    assert 0 <= low <= high and low - 1e-9 <= scores[name]["value"], (name, scores[name])
# One step makes no video: farther from real clips than those are from each other.
assert scores["frechet"]["value"] > 2 * scores["floor_frechet"]["value"]
assert "no pairs" in scores["psnr"]["note"] and scores["psnr"]["value"] is None
PYTHON
  # The same numbers in any form and with any threads.
  generate compare sample.h5 --reference clips.h5 --draws 12 --features classifier.h5 \
    --set resamples=100 -o again.json --threads 1 -q >/dev/null
  cmp scores.json again.json
  generate compare sample.h5 --reference clips.h5 --draws 12 --features classifier.h5 \
    --set resamples=100 -o - 2>/dev/null >scores.tsv
  [ "$(awk -F'\t' '$1 == "frechet" {print NF}' scores.tsv)" = 8 ]
}

@test "samples against samples: pairs have a PSNR, others say why not" {
  make_clips
  make_dense
  sample() { generate sample dense.h5 --count 4 -o "$1" "${@:2}" -q >/dev/null; }
  sample a.h5 --steps 2 --seed 3
  sample b.h5 --steps 3 --seed 3
  sample other.h5 --steps 2 --seed 4
  sample classes.h5 --steps 2 --seed 3 --class right
  compare() { generate compare a.h5 --reference "$1" -o "$2" --set resamples=50 -q >/dev/null; }
  compare b.h5 b.json
  holds "$(score b.json psnr) > 5 and 0 < $(score b.json relative_l1) < 2"
  compare a.h5 same.json
  [[ $(score same.json psnr) == "4 of 4 pairs are identical: infinite" ]]
  holds "$(score same.json relative_l1) == 0 and $(score same.json patch_sliced_wasserstein_2) == 0"
  holds "$(score same.json flicker_ratio) == 1"
  compare other.h5 other.json
  [ "$(score other.json psnr)" = "not reported: seeds differ" ]
  compare classes.h5 classes.json
  [ "$(score classes.json psnr)" = "not reported: labels differ" ]
  [ "$(score classes.json frechet)" = "not reported: no --features" ]
}

@test "what cannot be compared or trained on is refused by name" {
  make_clips
  make_dense
  make_classifier_config
  distill classify -c classifier.yaml --data clips.h5 -o classifier.h5 -q >/dev/null
  generate sample dense.h5 --count 2 --steps 1 -o a.h5 -q >/dev/null
  generate sample dense.h5 --count 1 --steps 1 -o one.h5 -q >/dev/null
  generate sample dense.h5 --count 2 --steps 1 --set width=32 -o wide.h5 -q >/dev/null
  # A model is not a classifier, nor the other way round.
  fails 3 "dense.h5: encoding-type model, wanted classifier" \
    generate compare a.h5 --reference a.h5 --features dense.h5 -o x.json
  fails 3 "classifier.h5: encoding-type classifier, wanted model" \
    generate sample classifier.h5 -o x.h5
  fails 3 "clips.h5: encoding-type dataset, wanted samples" \
    generate compare clips.h5 --reference a.h5 -o x.json
  fails 3 "dense.h5: encoding-type model, wanted samples" \
    generate compare a.h5 --reference dense.h5 -o x.json
  fails 2 "one.h5: one video, at least two are wanted" \
    generate compare one.h5 --reference a.h5 -o x.json
  fails 2 "a.h5: clips of 4 frames of 16x16, those of wide.h5 have 4 of 32x16" \
    generate compare a.h5 --reference wide.h5 -o x.json
  fails 2 "wide.h5: clips of 4 frames of 32x16, the classifier classifier.h5 is for 4 of 16x16" \
    generate compare wide.h5 --reference wide.h5 --features classifier.h5 -o x.json
  fails 2 "x.yaml: .tsv, .json or - is wanted" generate compare a.h5 --reference a.h5 -o x.yaml
  fixture samples-nan nan.h5
  fails 3 "nan.h5: /video: element 5 is not finite" \
    generate compare nan.h5 --reference nan.h5 -o x.json
  fixture samples-none none.h5
  fails 3 "none.h5: /video: no videos" generate compare none.h5 --reference none.h5 -o x.json

  fails 2 "data clips.h5: is given twice" \
    distill classify -c classifier.yaml --data clips.h5 --data clips.h5 -o x.h5
  generate import left right --clip-frames 2 --width 16 --height 16 -o more.h5 -q >/dev/null
  fails 2 "more.h5: source 'left': in another dataset too" \
    distill classify -c classifier.yaml --data clips.h5 --data more.h5 -o x.h5
  fails 2 "clips.h5: source 'left': frames of 16x16, the model wants 32x16" \
    distill classify -c classifier.yaml --set width=32 --data clips.h5 -o x.h5
  fails 2 "height: 16 is not whole patches of 3" \
    distill classify -c classifier.yaml --set 'model.patch=[2, 3, 4]' --data clips.h5 -o x.h5
  generate import left --clip-frames 4 --width 16 --height 16 -o left.h5 -q >/dev/null
  fails 2 "left.h5: 1 classes, at least two are wanted" \
    distill classify -c classifier.yaml --data left.h5 -o x.h5
  fails 2 "a.h5: no held-out range holds 4 frames" \
    distill classify -c classifier.yaml --data a.h5 -o x.h5
  [ ! -e x.h5 ] && [ ! -e x.json ]
}
