#!/usr/bin/env bash
# Velocity distillation of the shipped model at three seeds, and the picture of the README: the JSON
# and curves beside this file, and samples.png, come from here.
#
#   examples/three-clips/results/run.sh OUT [ORDER]     OUT: a folder that does not exist yet
#                                                      ORDER: tiles (the policy's own) or raster
#
# The tools are those on the PATH. About a quarter of an hour on 2 cores.
set -euo pipefail

here=$(cd "$(dirname "$0")/.." && pwd)
clips=$here/../quickstart/clips
order=${2:-tiles}
mkdir "$1"
cd "$1"

generate import "$clips"/box.mp4 "$clips"/cup.mp4 "$clips"/tree.mp4 -c "$here/clips.yaml" -o clips.h5
sparsify model "$here/model/shipped.h5" -c "$here/policy.yaml" \
  --set token_order="$order" -o sparse0.h5
for seed in 1 2 3; do
  distill sparse sparse0.h5 --teacher "$here/model/shipped.h5" --data clips.h5 -c "$here/sparse.yaml" \
    --seed $seed --curve distill-seed$seed-curve.tsv --json -o sparse-seed$seed.h5 >distill-seed$seed.json
done

# One strip a model: every second frame of a clip of class box, all from the same noise.
ffmpeg -v error -i "$clips/box.mp4" \
  -vf "select='lt(n\,16)*not(mod(n\,2))',crop=64:48,tile=8x1" -frames:v 1 real.png
for model in "$here/model/shipped.h5" sparse0.h5 sparse-seed1.h5; do
  name=$(basename "$model" .h5)
  generate sample "$model" --seed 7 --class box --steps 30 -o "sample-$name.h5"
  generate export "sample-$name.h5" --set columns=8 -o "$name.png"
done
ffmpeg -v error -i real.png -i shipped.png -i sparse0.png -i sparse-seed1.png \
  -filter_complex "vstack=inputs=4,scale=1024:-1:flags=neighbor" -frames:v 1 samples.png
