#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The README's first picture: classes box and cup, from top to bottom the film (as the quickstart has it,
# 72x54), the dense model, 95 % sparse without training, 95 % sparse after distillation; every fourth
# frame, the models from the same noise.
#   examples/objects/picture.sh DENSE SPARSE0 SPARSE OUT     OUT: a PNG file
# Needs the tools and ffmpeg on the PATH.
set -euo pipefail
[ $# -eq 4 ] || { echo "usage: picture.sh DENSE SPARSE0 SPARSE OUT" >&2; exit 2; }
[ ! -e "$4" ] || { echo "picture.sh: $4 exists" >&2; exit 2; }
films=$(cd "$(dirname "$0")/../quickstart/clips" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

inputs=(-i "$films/box.mp4" -i "$films/cup.mp4")
for model in "$1" "$2" "$3"; do
  name=$(basename "$model" .h5)
  generate sample "$model" --seed 11 --set stored=bf16 -q -o "$work/$name.h5" >/dev/null # one of each class
  generate export "$work/$name.h5" --columns 6 -q -o "$work/$name.png" >/dev/null
  inputs+=(-i "$work/$name.png")
done
film() { echo "[$1]select='lt(n\,24)*not(mod(n\,4))',scale=96:72,pad=96:80:0:4,tile=6x1,format=rgb24[f$1]"; }
sample() { echo "[$1]crop=576:80:0:$((80 * $2))[m$1$2]"; } # of input $1, class $2
graph="$(film 0);$(film 1);[f0][f1]hstack[r0]"
for n in 2 3 4; do graph+=";$(sample $n 0);$(sample $n 1);[m${n}0][m${n}1]hstack[r$n]"; done
ffmpeg -nostdin -v error "${inputs[@]}" -filter_complex "$graph;[r0][r2][r3][r4]vstack=inputs=4" -frames:v 1 \
  -update 1 "$4"
