#!/usr/bin/env bash
# From real video to a report that verifies, on a CPU: installs what it needs (as root on Debian 12),
# builds the five tools, runs the whole pipe from the shipped pair of examples/objects/small.
#
#   examples/quickstart/run.sh [OUT]     OUT: a folder that does not exist yet (out)
#
# Ends with OUT/report.html, OUT/sample.png and OUT/sample.mp4. Every stage computes; none replays a
# stored result. SUFFICE_BIN names a folder with the five tools, to skip installing and building.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
out=${1:-out}
if [ -e "$out" ]; then
  echo "quickstart: $out exists; name another folder or move it away" >&2
  exit 2
fi

start=$SECONDS
if [ -z "${SUFFICE_BIN:-}" ]; then
  "$root/cmake/install-packages.sh" build run
  cmake -S "$root" -B "$root/build/release" -G Ninja -DCMAKE_BUILD_TYPE=Release \
    -DSUFFICE_TESTS=OFF "-DSUFFICE_CUDA=$(nvidia-smi -L >/dev/null 2>&1 && echo AUTO || echo OFF)" >/dev/null
  echo "quickstart: building the five tools (a few minutes on 2 cores)"
  cmake --build "$root/build/release" -- --quiet
  SUFFICE_BIN=$root/build/release/bin
fi
PATH=$(cd "$SUFFICE_BIN" && pwd):$PATH
echo "quickstart: tools ready after $((SECONDS - start)) s"

mkdir -p "$out"
cp "$here"/clips/*.mp4 "$out/"
cd "$out"
pair=$here/../objects/small
recorded=(--ledger ledger --keys keys --progress lines)

audit    log init ledger --keys keys
generate import   box.mp4 cup.mp4 tree.mp4 -c "$here/clips.yaml" -o clips.h5 "${recorded[@]}"
distill  pretrain -c "$here/tune.yaml" --init "$pair/dense.h5" --data clips.h5 --curve dense.tsv -o dense.h5 "${recorded[@]}"
generate capture  dense.h5 --data clips.h5 -c "$here/capture.yaml" -o qkv.h5 "${recorded[@]}"
sparsify sweep    qkv.h5 -c "$here/sweep.yaml" -o sweep.tsv "${recorded[@]}"
# Sparse without training, and what that costs; then the student that was trained for it, which goes on to
# follow the tuned teacher.
sparsify model    dense.h5 -c "$here/policy.yaml" -o sparse0.h5 "${recorded[@]}"
generate evaluate sparse0.h5 --reference dense.h5 --data clips.h5 --grid "$here/grid0.yaml" --seed 1 -o runs0.h5 "${recorded[@]}"
distill  sparse   "$pair/sparse.h5" --teacher dense.h5 --data clips.h5 -c "$here/sparse.yaml" --curve sparse.tsv -o sparse.h5 "${recorded[@]}"
generate evaluate sparse.h5 --reference dense.h5 --data clips.h5 --grid "$here/grid.yaml" --seed 1 -o runs.h5 "${recorded[@]}"
calibrate frontier --runs runs.h5 --loss error -o frontier.tsv "${recorded[@]}"
# Exit status 5 says that nothing could be certified: the selection is then the dense model.
calibrate select  --runs runs.h5 -c "$here/target.yaml" -o selection.yaml "${recorded[@]}" || [ $? -eq 5 ]
generate sample   sparse.h5 --fallback dense.h5 --selection selection.yaml -c "$here/sample.yaml" --seed 7 -o sample.h5 "${recorded[@]}"
generate export   sample.h5 -o sample.mp4 "${recorded[@]}"
generate export   sample.h5 -o sample.png "${recorded[@]}"
audit    verify   ledger
audit    report   ledger -o report.html

echo "quickstart: done after $((SECONDS - start)) s: $out/report.html $out/sample.png $out/sample.mp4"
