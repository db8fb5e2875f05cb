#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# All tables of a model, or those named, in the order in which they are worth their time (README.md).
#   run.sh DATA OUT [TABLE ...]      TABLE: 1_model, 7, 4, 2, 3, 6
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
[ $# -ge 2 ] || { echo "usage: run.sh DATA OUT [TABLE ...]" >&2; exit 2; }
data=$1
out=$2
shift 2
[ $# -gt 0 ] || set -- 1_model 7 4 2 ${OTHER:+3} 6
for table; do "$here/table$table.sh" "$data" "$out"; done
cat "$out/results/tables.md"
