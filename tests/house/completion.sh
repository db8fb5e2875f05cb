#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The bash completion of a tool, sourced and asked: completion.sh BIN TOOL
set -euo pipefail
tool=$2
binary=$1/$tool
# shellcheck disable=SC1090
source <("$binary" --completion bash)
complete -p "$tool" >/dev/null

# ask WORD...: the completions of the last word.
ask() {
  COMP_WORDS=("$tool" "$@")
  COMP_CWORD=$#
  COMPREPLY=()
  "_$tool"
}
has() {
  local word
  for word in "${COMPREPLY[@]}"; do
    [ "$word" != "$1" ] || return 0
  done
  echo "$tool: '${COMP_WORDS[*]}' does not offer $1" >&2
  exit 1
}

mapfile -t verbs < <("$binary" --help | sed -n '/^Verbs:/,/^$/s/^  \([a-z]*\) .*/\1/p')
[ "${#verbs[@]}" -gt 0 ]
ask ""
for verb in "${verbs[@]}" --help --version --completion; do has "$verb"; done
for verb in "${verbs[@]}"; do
  ask "${verb:0:3}"
  has "$verb"
  # Every option of --help, and nothing else.
  mapfile -t options < <("$binary" "$verb" --help |
    sed -nE 's/^  ((-.), )?(--[a-z-]+).*/\2\n\3/p' | sed '/^$/d' | sort -u)
  ask "$verb" "-"
  for option in "${options[@]}"; do has "$option"; done
  if [ "${#COMPREPLY[@]}" -ne "${#options[@]}" ]; then
    echo "$tool $verb: ${#COMPREPLY[@]} completions, ${#options[@]} options" >&2
    exit 1
  fi
  ask "$verb" "--dry"
  [ "${COMPREPLY[*]}" = --dry-run ]
done
# Files, with their spaces.
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
touch "$folder/a model.h5"
ask "${verbs[0]}" "$folder/a"
has "$folder/a model.h5"
echo "$tool: ${#verbs[@]} verbs completed"
