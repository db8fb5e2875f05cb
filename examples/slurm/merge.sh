#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# After an array of array.sh: its N shards as one file.
#
#   sbatch --dependency=afterok:JOB merge.sh OUTPUT N
#
# A shard that is missing or of another run is an error that names it.
#SBATCH --job-name=merge
#SBATCH --output=merge.log
set -euo pipefail

output=$1 count=$2
case $output in
  *.tsv) tool=sparsify ;;
  *) tool=generate ;;
esac
parts=()
for ((i = 0; i < count; ++i)); do parts+=("${output%.*}-$i.${output##*.}"); done
"$tool" merge "${parts[@]}" -o "$output"
