#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The page of audit report, opened by a browser.
load helper

@test "the report opens without an error and loads nothing" {
  browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome) ||
    skip "NO BROWSER: chromium not found, the page was not opened"
  fixture capture q.h5
  fixture runs runs.h5
  audit log init ledger --keys keys --origin 'example.org/<b>"x"&' -q >/dev/null
  sparsify mask q.h5 --at /layers/0 -o "<script>alert(1)<script>.h5" \
    --ledger ledger --keys keys -q >/dev/null
  calibrate select --runs runs.h5 -o selection.yaml --ledger ledger --keys keys -q >/dev/null
  run -0 audit report ledger -o report.html
  run -1 grep -E '(src|href)="(https?:)?//|<script' report.html
  timeout 120 "$browser" --headless --no-sandbox --disable-gpu --enable-logging=stderr --v=0 \
    --user-data-dir="$PWD/profile" --dump-dom "file://$PWD/report.html" >dom 2>log
  run -1 grep CONSOLE log
  grep -q "The ledger verifies." dom
  grep -q '<svg' dom
  grep -q "certified" dom
  run -1 grep '<script' dom
}

@test "the report of a ledger that does not verify says so: 5" {
  fixture capture q.h5
  audit log init ledger --keys keys -q >/dev/null
  sparsify mask q.h5 --at /layers/0 -o m.h5 --ledger ledger --keys keys -q >/dev/null
  sparsify mask q.h5 --at /layers/0 --k 0.9 -o m.h5 --force -q >/dev/null
  run -5 audit report ledger -o report.html
  grep -q "does NOT verify" report.html
  run -5 --separate-stderr bash -c 'audit report ledger -o - | head -c 15; exit ${PIPESTATUS[0]}'
  [ "$output" = "<!doctype html>" ]
}

@test "each training shows its loss curve, drawn from the recorded file alone" {
  make_clips
  local recorded=(--ledger ledger --keys keys -q)
  audit log init ledger --keys keys -q >/dev/null
  distill pretrain -c model.yaml --data clips.h5 --curve dense.tsv -o dense.h5 "${recorded[@]}" \
    >/dev/null
  make_sparse
  grep '^train' model.yaml >sparse.yaml
  distill sparse sparse.h5 --teacher dense.h5 --data clips.h5 -c sparse.yaml -o student.h5 \
    "${recorded[@]}" >/dev/null
  curves() { sed -n '/<h2>Loss curves/,/<h2>Files/p' report.html; }

  run -0 audit report ledger -o report.html
  [ "$(curves | grep -c '<svg')" = 1 ]
  curves | grep -q 'aria-label="loss against step"'
  curves | grep -q '>held out: '
  # A vertex for each of the 20 steps.
  [ "$(curves | grep -o 'class="line" d="[^"]*"' | grep -o '[ML]' | wc -l)" = 20 ]
  curves | grep -q 'No loss curve: was not asked for'

  mv dense.tsv kept.tsv
  run -0 audit report ledger -o report.html --force
  curves | grep -q 'No loss curve: ../dense.tsv is missing'
  run -1 grep '<svg' <(curves)

  sed '2s/$/1/' kept.tsv >dense.tsv
  run -5 audit report ledger -o report.html --force
  curves | grep -q 'No loss curve: ../dense.tsv is not the file of the record'
  run -1 grep '<svg' <(curves)
}
