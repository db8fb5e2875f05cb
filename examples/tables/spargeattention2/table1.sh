#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Writes the table's three files: table1.sh [BUILD_DIRECTORY [OUTPUT_DIRECTORY [DRAWS]]].
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
build=${1:-$root/build/dev}
out=${2:-$here/results}
cmake --build "$build" --target table1 >&2
mkdir -p "$out"
exec "$build/bin/table1" "$out" "${3:-24}"
