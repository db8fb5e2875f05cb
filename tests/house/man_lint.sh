#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Every manual page is clean mdoc(7): man_lint.sh REPOSITORY
set -eu
command -v mandoc >/dev/null || { echo "mandoc not found"; exit 77; }
cd "$1/man"
# References to pages of other packages are not looked up: they may not be installed here.
found=$(mandoc -T lint -W warning ./*.[157] || true)
if [ -n "$found" ]; then
  echo "$found"
  exit 1
fi
for page in ./*.[157]; do
  # .Dd is when the page last changed; .Xr to our own pages must lead somewhere.
  sed -n 's/^\.Xr \([a-z-]*\) \([0-9]\).*/\1.\2/p' "$page" | sort -u | while read -r name; do
    case $name in
      suffice* | sparsify* | distill* | generate* | calibrate* | audit*)
        [ -f "$name" ] || { echo "$page: .Xr to $name, which does not exist"; exit 1; } ;;
    esac
  done
done
echo "manual pages are clean"
