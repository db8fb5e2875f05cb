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
